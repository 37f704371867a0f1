import { type HistoryEvent, type Operation, operationsOf } from '../judge/history.js';
import type { ApplicationEvent } from './plan.js';
import { Tail } from './tail.js';

/** What one application has printed. */
export class HistoryFile {
  readonly #tail: Tail;
  readonly events: ApplicationEvent[] = [];
  /** What is not of our making: a stack, a warning. */
  readonly strange: string[] = [];

  constructor(path: string) {
    this.#tail = new Tail(path);
  }

  /** Reads what is new. */
  read(): void {
    for (const line of this.#tail.read()) {
      if (line.startsWith('{"type":')) this.events.push(JSON.parse(line));
      else this.strange.push(line);
    }
  }
}

const historyTypes: ReadonlySet<string> = new Set(['invoke', 'ok', 'fail', 'info', 'settled']);

/** The operations of all applications together. @throws {JudgeError} history-malformed */
export function operationsIn(events: readonly ApplicationEvent[]): readonly Operation[] {
  return operationsOf(events.filter((event): event is HistoryEvent => historyTypes.has(event.type)));
}
