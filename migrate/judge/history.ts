import { JudgeError } from './errors.js';

/**
 * What programs say they did, in Jepsen's sense: every operation is invoked, and ends `ok` (the database has answered its COMMIT),
 * `fail` (it was certainly not committed) or `info` (nobody has answered: it may have been, or may be so a moment later). An
 * operation is one transaction. Of one that never ended nobody knows more than of an `info`.
 *
 * Times are milliseconds of the machine's monotonic clock, which all processes of a machine share.
 */

/** What an operation does, and with what. The number of an operation is what it leaves in the database. */
export type Action =
  /** One more entry in a ledger, at the next position. */
  | { readonly kind: 'append'; readonly ledger: number }
  | { readonly kind: 'transfer'; readonly from: number; readonly to: number; readonly amount: number }
  /** Reads the sum of all accounts in one query. */
  | { readonly kind: 'sum' }
  /** Many calls in one transaction, each of which inserts something; 1 to `rows`. */
  | { readonly kind: 'batch'; readonly rows: number }
  /** An item is put into the queue; its name is the operation's number. */
  | { readonly kind: 'put' }
  /** The next item that nobody has locked is taken out. */
  | { readonly kind: 'take' }
  /** A register that only this session writes gets the operation's number. */
  | { readonly kind: 'write'; readonly register: number }
  | { readonly kind: 'read'; readonly register: number };

export type ActionKind = Action['kind'];

/** What an operation was told. */
export interface Result {
  /** append: where the entry is. */
  readonly position?: number;
  /** sum: what it is. */
  readonly sum?: number;
  /** batch: how many of its rows the session saw before its COMMIT; write: the value it saw. */
  readonly seen?: number;
  /** take: which item; null when there was none. */
  readonly item?: number | null;
  /** read: the value. */
  readonly value?: number;
}

export type HistoryEvent =
  | {
      readonly type: 'invoke';
      readonly op: number;
      readonly session: number;
      /** How many connections the session has lost before. */
      readonly life: number;
      readonly action: Action;
      readonly atMs: number;
    }
  | { readonly type: 'ok'; readonly op: number; readonly atMs: number; readonly result: Result }
  /** `intended`: rolled back by the program itself. Otherwise by what happened to it. */
  | {
      readonly type: 'fail';
      readonly op: number;
      readonly atMs: number;
      readonly intended: boolean;
      readonly error?: string;
    }
  | { readonly type: 'info'; readonly op: number; readonly atMs: number; readonly error: string }
  /** Of one that has ended `info`: what the database has said when it was asked by the logical id of the transaction. */
  | { readonly type: 'settled'; readonly op: number; readonly atMs: number; readonly committed: boolean };

export type Outcome = 'ok' | 'fail' | 'info';

export interface Operation {
  readonly op: number;
  readonly session: number;
  readonly life: number;
  readonly action: Action;
  readonly beganMs: number;
  /** Infinity: nobody was told, so it may still come. */
  readonly endedMs: number;
  readonly outcome: Outcome;
  readonly intended: boolean;
  readonly error: string | undefined;
  readonly result: Result;
  /** Of one that nobody answered: whether the database has said later that it was committed; undefined: it was not asked. */
  readonly told: boolean | undefined;
}

export type OperationOf<Kind extends ActionKind> = Operation & { readonly action: Extract<Action, { kind: Kind }> };

/**
 * Pairs every invocation with its end.
 * @throws {JudgeError} history-malformed: an end without an invocation, two of either, or two operations of a session at once
 */
export function operationsOf(events: readonly HistoryEvent[]): readonly Operation[] {
  const operations = new Map<number, Operation>();
  const open = new Set<number>();
  const busy = new Map<number, number>();
  for (const event of events) {
    const { op, atMs } = event;
    if (event.type === 'invoke') {
      const { session, life, action } = event;
      const before = busy.get(session);
      if (operations.has(op)) throw new JudgeError('history-malformed', `operation ${op} is invoked twice`);
      if (before !== undefined)
        throw new JudgeError('history-malformed', `session ${session} is in operations ${before} and ${op} at once`);
      operations.set(op, { op, session, life, action, beganMs: atMs, ...unended });
      open.add(op);
      busy.set(session, op);
      continue;
    }
    const operation = operations.get(op);
    if (event.type === 'settled') {
      if (operation?.outcome !== 'info' || open.has(op) || operation.told !== undefined)
        throw new JudgeError('history-malformed', `operation ${op} is settled, and was not open`);
      operations.set(op, { ...operation, told: event.committed });
      continue;
    }
    if (operation === undefined || !open.delete(op)) {
      throw new JudgeError(
        'history-malformed',
        `operation ${op} ends ${event.type}, and ${operation ? 'had ended' : 'was not invoked'}`,
      );
    }
    busy.delete(operation.session);
    operations.set(op, { ...operation, ...ended(event) });
  }
  return [...operations.values()];
}

const unended = {
  endedMs: Number.POSITIVE_INFINITY,
  outcome: 'info',
  intended: false,
  error: 'never ended',
  result: {},
  told: undefined,
} as const;

type Ended = Pick<Operation, 'endedMs' | 'outcome' | 'intended' | 'error' | 'result' | 'told'>;

function ended(event: Exclude<HistoryEvent, { type: 'invoke' | 'settled' }>): Ended {
  const { atMs } = event;
  switch (event.type) {
    case 'ok':
      return { endedMs: atMs, outcome: 'ok', intended: false, error: undefined, result: event.result, told: undefined };
    case 'fail':
      return {
        endedMs: atMs,
        outcome: 'fail',
        intended: event.intended,
        error: event.error,
        result: {},
        told: undefined,
      };
    case 'info':
      // What was sent may still arrive.
      return { ...unended, error: event.error };
  }
}

export function ofKind<Kind extends ActionKind>(
  operations: readonly Operation[],
  kind: Kind,
): readonly OperationOf<Kind>[] {
  return operations.filter((operation): operation is OperationOf<Kind> => operation.action.kind === kind);
}
