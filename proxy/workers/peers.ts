/** How the first worker of a proxy asks the others, and how these answer. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { ReplyOf, RequestOf, Verb } from '../../shim/control/rpc.js';
import { ControlError } from '../../shim/control/rpc.js';
import { connectControl } from '../../shim/control/rpc-client.js';
import { type ControlServer, type Handler, type Handlers, serveControl } from '../../shim/control/rpc-server.js';
import { errorCode, errorText } from '../../shim/program/errors.js';
import type { Peer } from '../../shim/program/identity.js';
import type { Logger } from '../../shim/program/log.js';
import { type Missing, proxyContract } from '../control/contract.js';
import { workerAnswerMs } from '../limits.js';
import { peerContract } from './contract.js';
import { WorkerError } from './errors.js';
import type { Part } from './merge.js';
import type { Slot } from './slot.js';

export type ProxyVerbs = (typeof proxyContract)['verbs'];

/** What a caller sees of a worker that is being replaced. */
const betweenWorkers: ReadonlySet<string> = new Set(['unreachable', 'closed']);
/** What it sees of one that does not answer at all. */
const away: ReadonlySet<string> = new Set([...betweenWorkers, 'timeout']);
const pauseMs = 50;

/**
 * Answers the first worker. @param handlers what this worker would answer if it were asked itself
 * @throws {ControlError} address-in-use, bad-address
 */
export function servePeer(handlers: Handlers<ProxyVerbs>, slot: Slot, log: Logger): Promise<ControlServer> {
  const path = pathOf(slot, slot.index);
  // There is one worker in a slot at a time: whatever is there is what the one before has left.
  rmSync(path, { force: true });
  const ask: Handler<(typeof peerContract)['verbs']['ask']> = async ({ verb, body, caller }) => {
    const known = Object.keys(handlers).find((each): each is keyof ProxyVerbs => each === verb);
    if (known === undefined) throw new ControlError('unknown-verb', 'operator', `a worker has no verb ${verb}`);
    const handler = handlers[known] as Handler<Verb<unknown, unknown, unknown>>;
    return { body: await handler(proxyContract.verbs[known].request.parse(body), () => undefined, caller as Peer) };
  };
  return serveControl(peerContract, { ask }, { path }, { log });
}

/** The workers of the other slots, as the first one sees them. */
export class Others {
  readonly slot: Slot;
  readonly #waitMs: number;

  /** @param waitMs how long one may take for its answer; `workerAnswerMs` when left out */
  constructor(slot: Slot, waitMs = workerAnswerMs) {
    this.slot = slot;
    this.#waitMs = waitMs;
  }

  /**
   * Asks one of them. One that is being replaced is asked again, which no verb minds.
   * @throws {WorkerError} worker-away; and what the verb throws
   */
  async ask<Name extends keyof ProxyVerbs>(
    index: number,
    verb: Name,
    request: RequestOf<ProxyVerbs[Name]>,
    caller: Peer,
  ): Promise<ReplyOf<ProxyVerbs[Name]>> {
    const deadlineMs = performance.now() + this.#waitMs;
    for (;;) {
      try {
        const leftMs = Math.max(1, deadlineMs - performance.now());
        const body = await this.#once(index, { verb, body: request, caller }, leftMs);
        return proxyContract.verbs[verb].reply.parse(body) as ReplyOf<ProxyVerbs[Name]>;
      } catch (cause) {
        const code = errorCode(cause) ?? '';
        if (betweenWorkers.has(code) && performance.now() + pauseMs < deadlineMs) await setTimeout(pauseMs);
        else if (away.has(code)) throw WorkerError.away(index, cause);
        else throw cause;
      }
    }
  }

  /** Asks all of them. Who does not answer is named, not left out. */
  async askAll<Name extends keyof ProxyVerbs>(
    verb: Name,
    request: RequestOf<ProxyVerbs[Name]>,
    caller: Peer,
  ): Promise<{ readonly parts: readonly Part<ReplyOf<ProxyVerbs[Name]>>[]; readonly missing: readonly Missing[] }> {
    const indexes = Array.from({ length: this.slot.of - 1 }, (_, each) => each + 1);
    const settled = await Promise.allSettled(indexes.map((index) => this.ask(index, verb, request, caller)));
    const parts: Part<ReplyOf<ProxyVerbs[Name]>>[] = [];
    const missing: Missing[] = [];
    for (const [at, result] of settled.entries()) {
      if (result.status === 'fulfilled') parts.push({ worker: at + 1, reply: result.value });
      else missing.push({ worker: at + 1, why: errorText(result.reason) });
    }
    return { parts, missing };
  }

  async #once(index: number, request: RequestOf<AskVerb>, timeoutMs: number): Promise<unknown> {
    const client = await connectControl(peerContract, { path: pathOf(this.slot, index) }, { timeoutMs });
    try {
      return (await client.call('ask', request, { timeoutMs })).body;
    } finally {
      await client.close();
    }
  }
}

type AskVerb = (typeof peerContract)['verbs']['ask'];

function pathOf({ meeting }: Slot, index: number): string {
  return join(meeting, String(index));
}
