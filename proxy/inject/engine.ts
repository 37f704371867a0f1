/**
 * Which fault acts, and where: rules and points of calls in, decisions out. Pure: what is drawn depends on the seed, the session's
 * number and the number of the match only (contract.ts says why), so there is no generator whose state the order of events could change.
 *
 *     add ──► live ──remove, lease over──► ended, told to whoever is stalled by it
 *              │ ▲
 *              └─┘ add of the same again: renewed, counts kept
 */
import { Random, seedOf } from '../../shim/program/random.js';
import type { Action, Call, CallRule, FaultRow, Point } from './contract.js';
import { FaultError } from './errors.js';
import { faultsMax } from './limits.js';

/** Who a session is, as far as it is known at the moment. */
export interface SessionNames {
  readonly workload: string;
  readonly user: string | undefined;
  readonly service: string | undefined;
  readonly program: string | undefined;
}

/** A point that a call of a session has reached. */
export interface Moment {
  readonly call: Exclude<Call, 'any'>;
  readonly point: Point;
  /** Which call of the session it is, from 1: of this kind, and of all that `any` means. */
  readonly ofKind: number;
  readonly ofAny: number;
  readonly inTransaction: boolean;
  readonly firstOfTransaction: boolean;
}

/** A rule acts. */
export interface Decision {
  readonly rule: CallRule;
  readonly action: Action;
  /** As `picks` of the rule has them. */
  readonly session: number;
  readonly match: number;
  /** 0 to 1: what an action draws, e.g. its jitter. */
  readonly draw: number;
}

/** A session as the engine counts it: what it is doing is the gate's to know. */
export interface CountedSession {
  readonly workload: string;
  /** In the order in which sessions of this workload began, from 1. */
  readonly ordinal: number;
  readonly counts: Map<LiveRule, { matches: number; acts: number }>;
}

interface LiveRule {
  rule: CallRule;
  readonly hash: number;
  readonly picks: ReadonlySet<string> | undefined;
  readonly numbers: ReadonlyMap<string, Numbering>;
  untilMs: number;
  matches: number;
  acts: number;
}

/** Of one workload when a rule was added: sessions that were there, and how many there had ever been. */
interface Numbering {
  readonly there: readonly number[];
  readonly opened: number;
}

export class FaultEngine {
  readonly #rules = new Map<string, LiveRule>();
  readonly #opened = new Map<string, number>();
  readonly #sessions = new Set<CountedSession>();

  /** There is nothing to ask for. */
  get isEmpty(): boolean {
    return this.#rules.size === 0;
  }

  /** When the next lease is over, if there is any. */
  get nextEndMs(): number | undefined {
    const ends = [...this.#rules.values()].map(({ untilMs }) => untilMs);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  /**
   * All of them or none.
   * @returns those that were not there, and those that another of the same id has replaced: these have ended
   * @throws {FaultError} too-many-faults
   */
  add(rules: readonly CallRule[], nowMs: number): { readonly added: string[]; readonly ended: string[] } {
    const ids = new Set([...this.#rules.keys(), ...rules.map(({ id }) => id)]);
    if (ids.size > faultsMax) throw new FaultError('too-many-faults', `${ids.size} rules, at most ${faultsMax}`);
    const added: string[] = [];
    const ended: string[] = [];
    for (const rule of rules) {
      const present = this.#rules.get(rule.id);
      if (present !== undefined && isSame(present.rule, rule)) {
        present.untilMs = nowMs + rule.leaseMs;
        present.rule = rule;
        continue;
      }
      if (present !== undefined) ended.push(...this.remove([rule.id]));
      added.push(rule.id);
      this.#rules.set(rule.id, this.#live(rule, nowMs));
    }
    return { added, ended };
  }

  /** @returns those that were there */
  remove(ids: readonly string[]): string[] {
    return ids.filter((id) => {
      const live = this.#rules.get(id);
      if (live !== undefined) for (const { counts } of this.#sessions) counts.delete(live);
      return this.#rules.delete(id);
    });
  }

  /** @returns those whose lease is over */
  expire(nowMs: number): string[] {
    return this.remove([...this.#rules.values()].filter(({ untilMs }) => untilMs <= nowMs).map(({ rule }) => rule.id));
  }

  rows(nowMs: number, holding: (id: string) => number): FaultRow[] {
    return [...this.#rules.values()].map(({ rule, matches, acts, untilMs }) => ({
      rule,
      matches,
      acts,
      holding: holding(rule.id),
      leftMs: Math.max(0, Math.round(untilMs - nowMs)),
    }));
  }

  open(workload: string): CountedSession {
    const ordinal = (this.#opened.get(workload) ?? 0) + 1;
    this.#opened.set(workload, ordinal);
    const session: CountedSession = { workload, ordinal, counts: new Map() };
    this.#sessions.add(session);
    return session;
  }

  close(session: CountedSession): void {
    this.#sessions.delete(session);
  }

  /** The first rule that acts at this point, if any. What the others have counted is counted. */
  decide(session: CountedSession, names: SessionNames, moment: Moment): Decision | undefined {
    let decision: Decision | undefined;
    for (const live of this.#rules.values()) {
      if (!meets(live.rule, names, moment)) continue;
      const counts = countsOf(session, live);
      counts.matches += 1;
      live.matches += 1;
      if (decision !== undefined || isSpent(live, counts.acts)) continue;
      const number = numberOf(live, session);
      const random = new Random(seedOf(seedOf(live.rule.seed ^ live.hash, number), counts.matches));
      const isDrawn = live.picks?.has(`${number}/${counts.matches}`) ?? random.chance(live.rule.probability);
      if (!isDrawn) continue;
      counts.acts += 1;
      live.acts += 1;
      const { rule } = live;
      decision = { rule, action: rule.action, session: number, match: counts.matches, draw: random.unit() };
    }
    return decision;
  }

  #live(rule: CallRule, nowMs: number): LiveRule {
    const numbers = new Map<string, Numbering>();
    for (const [workload, opened] of this.#opened) {
      const own = [...this.#sessions].filter((session) => session.workload === workload);
      numbers.set(workload, { there: own.map(({ ordinal }) => ordinal), opened });
    }
    const picks = rule.picks && new Set(rule.picks.map(({ session, match }) => `${session}/${match}`));
    return { rule, hash: hashOf(rule.id), picks, numbers, untilMs: nowMs + rule.leaseMs, matches: 0, acts: 0 };
  }
}

/** Renewing it may change its lease and nothing else. Checked rules have their parts in the order of the schema. */
function isSame(one: CallRule, other: CallRule): boolean {
  return JSON.stringify({ ...one, leaseMs: 0 }) === JSON.stringify({ ...other, leaseMs: 0 });
}

function countsOf(session: CountedSession, live: LiveRule): { matches: number; acts: number } {
  const present = session.counts.get(live);
  if (present !== undefined) return present;
  const counts = { matches: 0, acts: 0 };
  session.counts.set(live, counts);
  return counts;
}

function isSpent({ rule, acts }: LiveRule, ofSession: number): boolean {
  const { total, perSession } = rule.times;
  return (total !== undefined && acts >= total) || (perSession !== undefined && ofSession >= perSession);
}

function numberOf({ numbers }: LiveRule, { workload, ordinal }: CountedSession): number {
  const numbering = numbers.get(workload);
  if (numbering === undefined) return ordinal;
  if (ordinal > numbering.opened) return numbering.there.length + ordinal - numbering.opened;
  return numbering.there.indexOf(ordinal) + 1;
}

/** Without `byte` and `fraction`: where inside a packet is the gate's business. */
function meets({ target, when }: CallRule, names: SessionNames, moment: Moment): boolean {
  if (when.at !== moment.point) return false;
  const isAny = when.call === 'any' && !notAny.has(moment.call);
  if (when.call !== moment.call && !isAny) return false;
  const number = isAny ? moment.ofAny : moment.ofKind;
  if (when.nth !== undefined && number !== when.nth) return false;
  if (when.every !== undefined && number % when.every !== 0) return false;
  if (when.inTransaction !== undefined && moment.inTransaction !== when.inTransaction) return false;
  if (when.firstOfTransaction === true && !moment.firstOfTransaction) return false;
  return (
    isMatch(target.workload, names.workload) &&
    isMatch(target.service, names.service) &&
    isMatch(target.user, names.user) &&
    isMatch(target.program, names.program)
  );
}

/** What `any` does not mean. */
export const notAny: ReadonlySet<Call> = new Set(['connect', 'login', 'break']);

/** `*` stands for any characters. Walked piece by piece: a pattern must not become a slow regular expression. */
export function isMatch(pattern: string | undefined, name: string | undefined): boolean {
  if (pattern === undefined) return true;
  if (name === undefined) return false;
  const [first = '', ...rest] = pattern.toLowerCase().split('*');
  const text = name.toLowerCase();
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= text.length - last.length;
}

/** FNV-1a: rules of one seed and different names have nothing in common. */
export function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
