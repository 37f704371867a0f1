import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

const chunkBytes = 1_048_576;

/** A file that others append lines to. Every line is read once, however long it grows; one that is not whole yet is read later. */
export class Tail {
  readonly #path: string;
  readonly #decoder = new StringDecoder('utf8');
  #readTo = 0;
  #rest = '';

  constructor(path: string) {
    this.#path = path;
  }

  /** @returns lines that are new, without empty ones */
  read(): readonly string[] {
    if (!existsSync(this.#path)) return [];
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const file = openSync(this.#path, 'r');
    try {
      const found: string[] = [];
      for (;;) {
        const bytes = readSync(file, chunk, 0, chunkBytes, this.#readTo);
        if (bytes === 0) return found.filter((line) => line !== '');
        this.#readTo += bytes;
        const lines = `${this.#rest}${this.#decoder.write(chunk.subarray(0, bytes))}`.split('\n');
        this.#rest = lines.pop() ?? '';
        found.push(...lines);
      }
    } finally {
      closeSync(file);
    }
  }
}
