import { type Anomaly, type AnomalyName, checkPresence, countBy, type Findings } from './anomaly.js';
import { type Operation, ofKind } from './history.js';

/** What every register holds before anybody has written it. */
export const firstValue = 0;

export interface RegisterContent {
  /** What each register holds in the end. */
  readonly values: ReadonlyMap<number, number>;
  /** Operations that have noted themselves in the transaction in which they wrote a register. */
  readonly writes: readonly number[];
}

/**
 * Registers that one session each writes and reads: it reads what it has written, also when its link or its host was another in
 * between. A write that nobody has answered and that is there may have come late, so reading the value before it is right too.
 */
export function checkRegisters(operations: readonly Operation[], { values, writes }: RegisterContent): Findings {
  const written = countBy(writes, (op) => op);
  const { anomalies, settled } = checkPresence('write', ofKind(operations, 'write'), written);
  const registers = new Map<number, Register>();
  for (const operation of [...operations].sort((one, other) => one.beganMs - other.beganMs)) {
    const { action, op } = operation;
    if (action.kind !== 'write' && action.kind !== 'read') continue;
    const register = registers.get(action.register) ?? new Register(action.register);
    registers.set(action.register, register);
    if (action.kind === 'write') register.write(operation, written.has(op));
    else register.read(operation);
  }
  for (const register of registers.values()) register.end(values.get(register.number));
  return { anomalies: [...anomalies, ...[...registers.values()].flatMap(({ anomalies }) => anomalies)], settled };
}

class Register {
  readonly number: number;
  readonly anomalies: Anomaly[] = [];
  /** Oldest first; after the first all were committed at a time that nobody knows. */
  #possible: readonly number[] = [firstValue];
  readonly #aborted = new Set<number>();
  readonly #old = new Set<number>();

  constructor(number: number) {
    this.number = number;
  }

  write({ op, outcome, result }: Operation, isThere: boolean): void {
    if (result.seen !== undefined && result.seen !== op)
      this.#say('own-rows-missing', [op], `${result.seen} was seen instead of what was just written`);
    if (outcome === 'info' && isThere) this.#possible = [...this.#possible, op];
    else if (outcome === 'ok') {
      this.#possible = [...this.#possible, op];
      this.#settle(op);
    } else this.#aborted.add(op);
  }

  read({ op, outcome, result: { value } }: Operation): void {
    if (outcome !== 'ok' || value === undefined || this.#settle(value)) return;
    const expected = this.#possible.join(' or ');
    if (this.#old.has(value)) this.#say('stale-read', [value, op], `${value} was read, ${expected} had been written`);
    else if (this.#aborted.has(value)) this.#say('aborted-read', [value, op], `${value} was never committed`);
    else this.#say('unknown-read', [op], `${value} was read, and nobody has written it`);
  }

  /** Whatever was committed last must be there. */
  end(value: number | undefined): void {
    const last = this.#possible.at(-1) ?? firstValue;
    if (value === last) return;
    const name = value !== undefined && this.#aborted.has(value) ? 'phantom-write' : 'lost-write';
    this.#say(name, [last], `register ${this.number} has ${value}, ${last} was committed last`);
  }

  /** Values before one that was seen are over. @returns false when it is none of the possible ones */
  #settle(value: number): boolean {
    const at = this.#possible.indexOf(value);
    if (at < 0) return false;
    for (const old of this.#possible.slice(0, at)) this.#old.add(old);
    this.#possible = this.#possible.slice(at);
    return true;
  }

  #say(name: AnomalyName, operations: readonly number[], detail: string): void {
    this.anomalies.push({ name, operations, detail });
  }
}
