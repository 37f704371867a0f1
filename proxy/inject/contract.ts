/**
 * One fault, as scenario files, the control API, the CLI and tests write it; and one act, as everybody is told of it. This file
 * is the whole contract: whoever makes faults builds on it and on nothing else of this folder.
 *
 * Two kinds of rule:
 *
 * - `kind: 'call'` acts by meaning, at a point of a call that the proxy's tracker sees. The proxy does it, when it was started
 *   with `--allow-faults`, by the verbs `injectAdd`, `injectList`, `injectRemove`, `injectWatch` of proxy/control/contract.ts.
 * - `kind: 'transport'` acts on bytes, whatever they mean. A relay (`holdfast inject serve`) does it, which sits on any leg
 *   by its address and speaks Toxiproxy's HTTP API; `toxic` has that API's words.
 *
 * The points of a call, in order; `before-*` means that not a byte of it has been passed on:
 *
 *     driver ──request──► [before-request] [in-request] [after-request] ──► database
 *     driver ◄── [after-response] [in-response] [before-response] ◄──response── database
 *
 * Which rule acts: at each point the rules are asked in the order in which they were added; the first whose conditions hold
 * and whose draw succeeds acts, and the others do not. A draw depends on the rule's `id` and `seed`, on the number of the session
 * (sessions of one workload are counted from 1 in the order in which they began, since the rule was added) and on how many points of this
 * session have met the rule's conditions so far (`match`, from 1). It depends on nothing else: not on time, not on other sessions, not on
 * other rules. So the same seed over the same calls gives the same sequence, however sessions interleave; and each act tells
 * `session` and `match`, which as `picks` of a rule make it act there again, and only there.
 *
 * A rule ends when it is removed, or when its lease is over: `injectAdd` of the same rule again renews the lease and keeps
 * its counts; of another rule under the same id begins anew. With the rule ends what it does to sessions: stalled bytes go on.
 * What a rule has cut stays cut.
 */
import { z } from 'zod';
import { delayMsMax, leaseMsDefault, leaseMsMax, picksMax, ruleCharactersMax } from './limits.js';

export const legs = ['driver', 'link', 'database'] as const;
/** Where a fault acts: between driver and shim, between shim and proxy, between proxy and database. */
export type Leg = (typeof legs)[number];

/** Towards the database, or towards the driver. Toxiproxy calls them upstream and downstream. */
export const directions = ['to-database', 'to-driver', 'both'] as const;
export type Direction = (typeof directions)[number];

/**
 * What the tracker can tell apart. `connect`: Oracle Net CONNECT, before anybody has logged in. `login`: each round trip of the
 * log-in behind it. `commit` and `rollback`: the functions of that name; an EXECUTE that commits by itself (auto-commit, PL/SQL) is
 * an `execute`. `execute` and `fetch`: also as re-execution. `break`: a driver's BREAK or INTERRUPT. `other`: any further function.
 * `any`: all of them but `connect`, `login` and `break`.
 */
export const calls = [
  'connect',
  'login',
  'execute',
  'fetch',
  'commit',
  'rollback',
  'lob',
  'ping',
  'logoff',
  'break',
  'other',
  'any',
] as const;
export type Call = (typeof calls)[number];

export const points = [
  'before-request',
  'in-request',
  'after-request',
  'before-response',
  'in-response',
  'after-response',
] as const;
export type Point = (typeof points)[number];

const text = z.string().min(1).max(ruleCharactersMax);
const count = z.int().min(1).max(1_000_000_000);
const ms = z.int().min(0).max(delayMsMax);

/** Names as they are, `*` for any characters; case does not matter. What is left out matches everything. */
export const target = z.strictObject({
  workload: text.optional(),
  service: text.optional(),
  /** Of the database. Not known before the login, which it does not match: nor does it match `connect`. */
  user: text.optional(),
  /** The program that the driver named in its login or its CONNECT. */
  program: text.optional(),
});

const when = z.strictObject({
  call: z.enum(calls),
  at: z.enum(points),
  /** Of `in-request` and `in-response`, one of both: how many bytes pass, or which part of the first packet. At least one byte stays back. */
  byte: count.optional(),
  fraction: z.number().gt(0).lt(1).optional(),
  /** Only the n-th such call of a session (from 1), or only each n-th. */
  nth: count.optional(),
  every: count.optional(),
  /** Only with (true) or without (false) a transaction open as the call begins. */
  inTransaction: z.boolean().optional(),
  /** Only the call with which a transaction can begin: the first one, and each first one after a transaction has ended. */
  firstOfTransaction: z.literal(true).optional(),
});

/** What a rule of kind `call` does. */
export const action = z.discriminatedUnion('kind', [
  /**
   * `driver`: its connection ends, with `reset` for both directions at once, with `close` in order; on the wire both are a FIN, for a shim
   * passes on no TCP reset (that is `reset_peer` of a relay). `link`: the workload's link is cut; the shim comes back. `database`: the connection
   * of this session is lost, as by a reset; the driver's ends because of that.
   */
  z.strictObject({
    kind: z.literal('cut'),
    leg: z.enum(legs),
    /** Of the leg `driver`. */
    how: z.enum(['reset', 'close']).default('reset'),
  }),
  /** Nothing passes any more in these directions until the rule ends, or `forMs` is over. */
  z.strictObject({
    kind: z.literal('stall'),
    direction: z.enum(directions).default('both'),
    forMs: ms.min(1).optional(),
  }),
  /** What is about to pass, and all behind it in the same direction, passes that much later. Each delay is drawn from ms to ms + jitterMs. */
  z.strictObject({ kind: z.literal('delay'), ms, jitterMs: ms.default(0) }),
  /** At `before-response`: the call is delivered and done, the whole answer is kept back, then the driver's connection ends. */
  z.strictObject({ kind: z.literal('withhold'), how: z.enum(['reset', 'close']).default('reset') }),
  /** At `before-request` (the database never sees the call) or `before-response` (it has done it): this error, then the connection ends. */
  z.strictObject({ kind: z.literal('error'), ora: z.int().min(1).max(65_535) }),
  /** Of `connect`: the listener says no, with 12514, 12505, 1153 or another number. */
  z.strictObject({ kind: z.literal('refuse'), ora: z.int().min(1).max(65_535) }),
  /** Of `connect`: the driver is sent to another listener. */
  z.strictObject({ kind: z.literal('redirect'), host: text, port: z.int().min(1).max(65_535) }),
  /** At `before-response` or `after-response`: an in-band notification (12572: the listener shuts down) is put in; the session goes on. */
  z.strictObject({ kind: z.literal('notify'), ora: z.int().min(1).max(65_535).default(12_572) }),
]);
export type Action = z.infer<typeof action>;

/** A point at which a rule has acted: see `FaultAct`. */
const pick = z.strictObject({ session: count, match: count });

const common = {
  /** Letters, digits, `.`, `_`, `-`. */
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'an id is 1 to 64 letters, digits, ".", "_", "-"'),
  /** How long the rule lives unless it is added again. */
  leaseMs: z.int().min(1).max(leaseMsMax).default(leaseMsDefault),
};

const callRule = z.strictObject({
  ...common,
  kind: z.literal('call'),
  target: target.default({}),
  when,
  action,
  probability: z.number().min(0).max(1).default(1),
  seed: z.int().min(0).max(0xffff_ffff).default(1),
  /** How often it may act: in all, and in each session. Without: as often as it matches. */
  times: z.strictObject({ total: count.optional(), perSession: count.optional() }).default({}),
  /** It acts at these points instead of by probability. */
  picks: z.array(pick).max(picksMax).optional(),
});

const attribute = z.int().min(0).max(2_147_483_647);
const attributes = z.strictObject({}).default({});

/**
 * Toxics by the names, attributes and units of Toxiproxy 2 (times in milliseconds, `delay` of the slicer in microseconds, rates in KB/s), and ours:
 * `half_open` (bytes of this direction vanish, and so does the end), `stall` (they wait until the toxic is removed), `flap` (the proxy goes down
 * and up by itself). `down` is Toxiproxy's `enabled: false`: listening ends, and connections with it.
 */
export const toxic = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('latency'),
    attributes: z.strictObject({ latency: attribute.default(0), jitter: attribute.default(0) }),
  }),
  z.strictObject({ type: z.literal('bandwidth'), attributes: z.strictObject({ rate: attribute.default(0) }) }),
  z.strictObject({ type: z.literal('slow_close'), attributes: z.strictObject({ delay: attribute.default(0) }) }),
  z.strictObject({ type: z.literal('timeout'), attributes: z.strictObject({ timeout: attribute.default(0) }) }),
  z.strictObject({ type: z.literal('reset_peer'), attributes: z.strictObject({ timeout: attribute.default(0) }) }),
  z.strictObject({
    type: z.literal('slicer'),
    attributes: z.strictObject({
      average_size: attribute.default(0),
      size_variation: attribute.default(0),
      delay: attribute.default(0),
    }),
  }),
  z.strictObject({ type: z.literal('limit_data'), attributes: z.strictObject({ bytes: attribute.default(0) }) }),
  z.strictObject({ type: z.literal('stall'), attributes }),
  z.strictObject({ type: z.literal('half_open'), attributes }),
  z.strictObject({
    type: z.literal('flap'),
    attributes: z.strictObject({ up: attribute.min(1).default(1_000), down: attribute.min(1).default(1_000) }),
  }),
  z.strictObject({ type: z.literal('down'), attributes }),
]);
export type Toxic = z.infer<typeof toxic>;

const transportRule = z.strictObject({
  ...common,
  kind: z.literal('transport'),
  leg: z.enum(legs),
  direction: z.enum(directions).default('to-driver'),
  toxic,
  /** Of each connection to suffer it: Toxiproxy's `toxicity`. */
  probability: z.number().min(0).max(1).default(1),
  seed: z.int().min(0).max(0xffff_ffff).default(1),
});

/** One rule, checked: what is wrong with it is an issue with its path. */
export const faultRule = z.discriminatedUnion('kind', [callRule, transportRule]).superRefine((rule, context) => {
  if (rule.kind !== 'call') return;
  const wrong = mismatch(rule);
  if (wrong !== undefined) context.addIssue({ code: 'custom', path: wrong.path, message: wrong.message });
});

export type CallRule = z.infer<typeof callRule>;
export type TransportRule = z.infer<typeof transportRule>;
/** With all defaults filled in. */
export type FaultRule = CallRule | TransportRule;
/** As one writes it. */
export type FaultRuleInput = z.input<typeof faultRule>;

/** Rules that one asks a proxy for: those of transport it refuses with `fault-not-here`. */
export const faultRules = z.array(faultRule).min(1);

/** That a rule has acted. */
export const faultAct = z.object({
  /** Counts the acts of one life of the proxy's worker, from 1. */
  seq: z.number(),
  /** Wall clock of whoever acted, ISO 8601. */
  at: z.string(),
  rule: z.string(),
  /** Kind of the action, or type of the toxic: one `kind of fault`, with the point for what acts by meaning. */
  action: z.string(),
  leg: z.enum(legs).optional(),
  call: z.enum(calls).optional(),
  point: z.enum(points).optional(),
  /** Of the rule, as `picks` has it. */
  session: z.number().optional(),
  match: z.number().optional(),
  workload: z.string().optional(),
  instance: z.string().optional(),
  stream: z.number().optional(),
  user: z.string().optional(),
  service: z.string().optional(),
  sid: z.number().optional(),
  serial: z.number().optional(),
  /** Whether there was a transaction as it acted. */
  transaction: z.enum(['none', 'open', 'unknown']).optional(),
  /** ORA number of what it said in the database's place. */
  ora: z.number().optional(),
  /** Of a relay: name of its proxy, and number of the connection. */
  relay: z.string().optional(),
  connection: z.number().optional(),
});
export type FaultAct = z.infer<typeof faultAct>;

/** A rule and what it has done so far. */
export const faultRow = z.object({
  rule: faultRule,
  /** Points that met its conditions, and those at which it acted. */
  matches: z.number(),
  acts: z.number(),
  /** Sessions that are stalled or delayed by it now. */
  holding: z.number(),
  /** Until its lease is over. */
  leftMs: z.number(),
});
export type FaultRow = z.infer<typeof faultRow>;

interface Mismatch {
  readonly path: string[];
  readonly message: string;
}

/** What cannot be: a rule that could never act is refused, not ignored. */
function mismatch({ when, action, target: whom }: CallRule): Mismatch | undefined {
  const isInside = when.at === 'in-request' || when.at === 'in-response';
  const places = [when.byte, when.fraction].filter((each) => each !== undefined).length;
  if (isInside && places !== 1) return { path: ['when', 'at'], message: `${when.at} needs either byte or fraction` };
  if (!isInside && places > 0)
    return { path: ['when', 'at'], message: 'byte and fraction are for in-request and in-response' };
  if (when.nth !== undefined && when.every !== undefined) {
    return { path: ['when', 'every'], message: 'nth and every exclude each other' };
  }
  if (when.call === 'connect' && whom.user !== undefined) {
    return { path: ['target', 'user'], message: 'who connects is not known before the login' };
  }
  const allowed = pointsOf(when.call);
  if (!allowed.includes(when.at)) {
    return { path: ['when', 'at'], message: `${when.call} has only ${allowed.join(', ')}` };
  }
  return mismatchOfAction(when, action);
}

function mismatchOfAction({ call, at }: CallRule['when'], { kind }: Action): Mismatch | undefined {
  const path = ['action', 'kind'];
  if ((kind === 'refuse' || kind === 'redirect') && (call !== 'connect' || at !== 'before-request')) {
    return { path, message: `${kind} answers a connect, at before-request` };
  }
  if (kind === 'error' && (call === 'connect' || call === 'break' || !answerPoints.includes(at))) {
    return { path, message: 'error answers a call, at before-request or before-response' };
  }
  if (kind === 'withhold' && at !== 'before-response') return { path, message: 'withhold is for before-response' };
  if (kind === 'notify' && (call === 'connect' || (at !== 'before-response' && at !== 'after-response'))) {
    return { path, message: 'notify is for before-response and after-response of a call' };
  }
  return undefined;
}

const answerPoints: readonly Point[] = ['before-request', 'before-response'];

function pointsOf(call: Call): readonly Point[] {
  if (call === 'break') return ['before-request', 'after-request'];
  if (call === 'connect') return ['before-request', 'after-request', 'before-response', 'after-response'];
  return points;
}
