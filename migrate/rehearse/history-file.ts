import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { type HistoryEvent, type Operation, operationsOf } from '../judge/history.js';
import type { ApplicationEvent } from './plan.js';

const chunkBytes = 1_048_576;

/** What one application has printed. Every line is read once, however long it runs. */
export class HistoryFile {
  readonly #path: string;
  readonly #decoder = new StringDecoder('utf8');
  readonly #chunk = Buffer.allocUnsafe(chunkBytes);
  #readTo = 0;
  #rest = '';
  readonly events: ApplicationEvent[] = [];
  /** What is not of our making: a stack, a warning. */
  readonly strange: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  /** Reads what is new. */
  read(): void {
    if (!existsSync(this.#path)) return;
    const file = openSync(this.#path, 'r');
    try {
      for (;;) {
        const bytes = readSync(file, this.#chunk, 0, chunkBytes, this.#readTo);
        if (bytes === 0) return;
        this.#readTo += bytes;
        const lines = `${this.#rest}${this.#decoder.write(this.#chunk.subarray(0, bytes))}`.split('\n');
        this.#rest = lines.pop() ?? '';
        for (const line of lines) this.#add(line);
      }
    } finally {
      closeSync(file);
    }
  }

  #add(line: string): void {
    if (line.startsWith('{"type":')) this.events.push(JSON.parse(line));
    else if (line !== '') this.strange.push(line);
  }
}

const historyTypes: ReadonlySet<string> = new Set(['invoke', 'ok', 'fail', 'info']);

/** The operations of all applications together. @throws {JudgeError} history-malformed */
export function operationsIn(events: readonly ApplicationEvent[]): readonly Operation[] {
  return operationsOf(events.filter((event): event is HistoryEvent => historyTypes.has(event.type)));
}
