/** Who makes faults, behind one interface: the proxy those by meaning, a relay those of transport. */
import type { Asker } from '../../proxy/control/contract.js';
import type { FaultAct, FaultRow, FaultRule } from '../../proxy/inject/contract.js';
import { errorText } from '../../shim/program/errors.js';
import type { ProxyView } from '../proxy.js';
import { InjectError } from './errors.js';

export interface Watched {
  /** Another one means that the rules are gone, and that acts are counted from 1 again. */
  readonly run: string;
  readonly acts: readonly FaultAct[];
  readonly missed: number;
}

export interface FaultTarget {
  /** For people. */
  readonly name: string;
  add(rules: readonly FaultRule[], by: Asker): Promise<{ readonly added: readonly string[] }>;
  /** Without ids: all. */
  remove(ids: readonly string[] | undefined, by: Asker): Promise<{ readonly removed: readonly string[] }>;
  list(): Promise<readonly FaultRow[]>;
  /** Acts behind number `after`; with none yet it waits for one. */
  watch(after: number, waitMs: number): Promise<Watched>;
}

/** @throws what the proxy answers: faults-not-allowed, too-many-faults, fault-not-here; proxy-unreachable */
export function proxyTarget(proxy: ProxyView): FaultTarget {
  return {
    name: 'the proxy',
    add: (rules, by) => proxy.injectAdd({ rules: [...rules], by }),
    remove: (ids, by) => proxy.injectRemove({ ...(ids === undefined ? {} : { ids: [...ids] }), by }),
    list: async () => (await proxy.injectList()).rules,
    watch: (after, waitMs) => proxy.injectWatch({ after, waitMs }),
  };
}

/**
 * @param url of its HTTP API
 * @throws {InjectError} relay-unreachable, relay-refused
 */
export function relayTarget(url: string): FaultTarget {
  return {
    name: `the relay at ${url}`,
    add: (rules) => ask(url, 'faults', { rules }),
    remove: (ids) => ask(url, 'faults/remove', ids === undefined ? {} : { ids }),
    list: async () => (await ask<{ rules: FaultRow[] }>(url, 'faults')).rules,
    watch: (after, waitMs) => ask(url, `acts?after=${after}&waitMs=${waitMs}`),
  };
}

/** Number of the last act so far; 0: there was none. */
export async function lastActOf(target: FaultTarget): Promise<number> {
  for (let after = 0; ; ) {
    const { acts } = await target.watch(after, 0);
    const last = acts.at(-1);
    if (last === undefined) return after;
    after = last.seq;
  }
}

async function ask<Reply>(url: string, path: string, body?: object): Promise<Reply> {
  const answer = await fetch(`${url}/holdfast/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((cause: unknown) => {
    throw new InjectError('relay-unreachable', `the relay at ${url} does not answer: ${errorText(cause)}`, { cause });
  });
  const reply = (await answer.json()) as Reply & { readonly error?: string };
  if (!answer.ok) throw new InjectError('relay-refused', `the relay at ${url}: ${reply.error ?? answer.statusText}`);
  return reply;
}
