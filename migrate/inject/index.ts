/**
 * Faults from tests: `import { inject } from 'holdfast/inject'`. With tap, node:test or anything else.
 *
 *     const faults = inject({ proxy: '127.0.0.1:7401', insecurePlaintext: true });
 *     const fault = await faults.add({ kind: 'call', when: { call: 'commit', at: 'before-response' }, action: { kind: 'withhold' } });
 *     ... the application commits ...
 *     await fault.acted();
 *     await faults.close();
 *
 * Rules are renewed for as long as they are wanted, and end by themselves soon after this process has died.
 */
import { randomUUID } from 'node:crypto';
import {
  type FaultAct,
  type FaultRow,
  type FaultRule,
  type FaultRuleInput,
  faultRule,
} from '../../proxy/inject/contract.js';
import { parseAddress } from '../../shim/program/address.js';
import { loadSecurity } from '../../shim/program/security.js';
import { whoAsks } from '../operator.js';
import { ProxyView } from '../proxy.js';
import { InjectError } from './errors.js';
import { type FaultTarget, lastActOf, proxyTarget, relayTarget } from './targets.js';

export type { FaultAct, FaultRow, FaultRule, FaultRuleInput } from '../../proxy/inject/contract.js';
export { InjectError } from './errors.js';

export interface InjectOptions {
  /** `HOST:PORT` of the proxy's control address, for faults by meaning. */
  readonly proxy?: string;
  /** URL of a relay's HTTP API, for faults of transport. */
  readonly relay?: string;
  /** How the proxy's control port is protected; one of the three, as for all commands. */
  readonly secretFile?: string;
  readonly tls?: { readonly cert: string; readonly key?: string; readonly ca: string };
  readonly insecurePlaintext?: boolean;
}

type Distributed<Rule> = Rule extends { id: string } ? Omit<Rule, 'id'> & { id?: string } : never;
/** As `proxy/inject/contract.ts` has it; an id is made up where there is none. */
export type FaultToAdd = Distributed<FaultRuleInput>;

export interface Fault {
  readonly id: string;
  /** What it has done so far. */
  acts(): Promise<readonly FaultAct[]>;
  /**
   * Waits until it has acted so often.
   * @throws {InjectError} fault-idle: not within `withinMs`
   */
  acted(times?: number, withinMs?: number): Promise<readonly FaultAct[]>;
  /** It acts no more, and what it holds goes on. Harmless when it has ended. */
  remove(): Promise<void>;
}

export interface Faults {
  /** @throws {InjectError} fault-invalid, relay-refused, relay-unreachable @throws faults-not-allowed, proxy-unreachable and what else the proxy answers */
  add(rule: FaultToAdd): Promise<Fault>;
  list(): Promise<readonly FaultRow[]>;
  /** Removes what was added here, and lets the process end. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const renewMs = 5_000;
const waitMs = 1_000;
const withinMsDefault = 30_000;

export function inject(options: InjectOptions): Faults {
  return new Injection(options);
}

interface Added {
  readonly rule: FaultRule;
  readonly target: FaultTarget;
}

class Injection implements Faults {
  readonly #proxy: FaultTarget | undefined;
  readonly #relay: FaultTarget | undefined;
  readonly #added = new Map<string, Added>();
  readonly #renewal: NodeJS.Timeout;

  constructor(options: InjectOptions) {
    this.#proxy = options.proxy === undefined ? undefined : proxyTarget(viewOf(options.proxy, options));
    this.#relay = options.relay === undefined ? undefined : relayTarget(options.relay);
    this.#renewal = setInterval(() => void this.#renew(), renewMs).unref();
  }

  async add(wanted: FaultToAdd): Promise<Fault> {
    const parsed = faultRule.safeParse({ id: `test-${randomUUID()}`, ...wanted });
    if (!parsed.success) {
      const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
      throw new InjectError('fault-invalid', issues.join('; '));
    }
    const rule = parsed.data;
    const target = rule.kind === 'call' ? this.#proxy : this.#relay;
    if (target === undefined) {
      const missing = rule.kind === 'call' ? 'proxy' : 'relay';
      throw new InjectError('fault-invalid', `faults of kind ${rule.kind} need the option ${missing}`);
    }
    const after = await lastActOf(target);
    await target.add([rule], whoAsks());
    this.#added.set(rule.id, { rule, target });
    return this.#fault(rule.id, target, after);
  }

  async list(): Promise<readonly FaultRow[]> {
    const targets = [this.#proxy, this.#relay].flatMap((target) => target ?? []);
    return (await Promise.all(targets.map((target) => target.list()))).flat();
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    for (const id of [...this.#added.keys()]) await this.#remove(id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #fault(id: string, target: FaultTarget, after: number): Fault {
    const acts = async (): Promise<readonly FaultAct[]> => actsOf(target, id, after);
    return {
      id,
      acts,
      acted: async (times = 1, withinMs = withinMsDefault) => {
        const untilMs = performance.now() + withinMs;
        let seen = await acts();
        while (seen.length < times) {
          const leftMs = untilMs - performance.now();
          if (leftMs <= 0) {
            throw new InjectError('fault-idle', `${id} has acted ${seen.length} of ${times} times in ${withinMs} ms`);
          }
          await target.watch(await lastActOf(target), Math.ceil(Math.min(waitMs, leftMs)));
          seen = await acts();
        }
        return seen;
      },
      remove: () => this.#remove(id),
    };
  }

  async #remove(id: string): Promise<void> {
    const added = this.#added.get(id);
    if (added === undefined) return;
    this.#added.delete(id);
    await added.target.remove([id], whoAsks());
  }

  /** A proxy between two workers answers later: the next renewal counts, and adds what the new worker does not know. */
  async #renew(): Promise<void> {
    for (const { rule, target } of this.#added.values()) await target.add([rule], whoAsks()).catch(() => undefined);
  }
}

/** All acts of one rule, in pieces of what one answer holds. */
async function actsOf(target: FaultTarget, id: string, from: number): Promise<readonly FaultAct[]> {
  const found: FaultAct[] = [];
  for (let after = from; ; ) {
    const { acts } = await target.watch(after, 0);
    const last = acts.at(-1);
    if (last === undefined) return found;
    found.push(...acts.filter(({ rule }) => rule === id));
    after = last.seq;
  }
}

function viewOf(proxy: string, { secretFile, tls, insecurePlaintext = false }: InjectOptions): ProxyView {
  const address = parseAddress(proxy);
  if (address === undefined) throw new InjectError('fault-invalid', `proxy: "${proxy}" is not HOST:PORT`);
  const security = { secretFile, tlsCert: tls?.cert, tlsKey: tls?.key, tlsCa: tls?.ca, insecurePlaintext };
  return new ProxyView(address, loadSecurity(security));
}
