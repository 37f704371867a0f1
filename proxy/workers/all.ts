/**
 * The verbs of a proxy with several workers, as its first worker answers them: lists are joined, what is about one workload goes to
 * the worker that has it, and nobody who does not answer is left out without a word.
 */
import type { ReplyOf, RequestOf } from '../../shim/control/rpc.js';
import type { Handler, Handlers } from '../../shim/control/rpc-server.js';
import type { Peer } from '../../shim/program/identity.js';
import type { Missing } from '../control/contract.js';
import { mergeAudit, mergeStatus, named, type Part } from './merge.js';
import type { Others, ProxyVerbs } from './peers.js';
import { slotOf } from './slot.js';

type Name = keyof ProxyVerbs;

/** @param own what the first worker answers for itself */
export function handlersOfAll(own: Handlers<ProxyVerbs>, others: Others): Handlers<ProxyVerbs> {
  const ofAll = allOf(own, others);
  return {
    ...own,
    sessions: async (request, emit, caller) => {
      if (request.workload !== undefined)
        return ofOne(own, others, 'sessions', request.workload)(request, emit, caller);
      const { parts, missing } = await ofAll('sessions', request, caller);
      return { sessions: parts.flatMap(({ reply }) => reply.sessions), ...named(missing) };
    },
    workloads: async (request, emit, caller) => {
      if (request.workload !== undefined)
        return ofOne(own, others, 'workloads', request.workload)(request, emit, caller);
      const { parts, missing } = await ofAll('workloads', request, caller);
      const [first] = parts;
      return { ...first?.reply, workloads: parts.flatMap(({ reply }) => reply.workloads), ...named(missing) };
    },
    holds: async (request, _emit, caller) => {
      const { parts, missing } = await ofAll('holds', request, caller);
      const audit = mergeAudit(parts.map(({ reply }) => reply.audit));
      return { holds: parts.flatMap(({ reply }) => reply.holds), ...audit, ...named(missing) };
    },
    status: async (request, _emit, caller) => {
      const { parts, missing } = await ofAll('status', request, caller);
      return mergeStatus(parts, missing);
    },
    noteMove: (request, ...more) => ofOne(own, others, 'noteMove', request.workload)(request, ...more),
    extendHold: (request, ...more) => ofOne(own, others, 'extendHold', request.workload)(request, ...more),
    pinHold: (request, ...more) => ofOne(own, others, 'pinHold', request.workload)(request, ...more),
    unpinHold: (request, ...more) => ofOne(own, others, 'unpinHold', request.workload)(request, ...more),
    releaseHold: (request, ...more) => ofOne(own, others, 'releaseHold', request.workload)(request, ...more),
  };
}

/** The answer of the worker that has this workload. */
function ofOne<N extends Name>(
  own: Handlers<ProxyVerbs>,
  others: Others,
  verb: N,
  workload: string,
): Handler<ProxyVerbs[N]> {
  const index = slotOf(workload, others.slot.of);
  if (index === others.slot.index) return own[verb];
  return (request, _emit, caller) => others.ask(index, verb, request, caller);
}

type Answers<N extends Name> = {
  readonly parts: readonly Part<ReplyOf<ProxyVerbs[N]>>[];
  readonly missing: readonly Missing[];
};

/** The answers of all, the first worker's first. */
function allOf(own: Handlers<ProxyVerbs>, others: Others) {
  return async <N extends Name>(verb: N, request: RequestOf<ProxyVerbs[N]>, caller: Peer): Promise<Answers<N>> => {
    const handler: Handler<ProxyVerbs[N]> = own[verb];
    const [reply, { parts, missing }] = await Promise.all([
      handler(request, () => undefined, caller),
      others.askAll(verb, request, caller),
    ]);
    return { parts: [{ worker: others.slot.index, reply }, ...parts], missing };
  };
}
