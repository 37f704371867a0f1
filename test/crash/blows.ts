/**
 * What happens to a worker of the proxy, from outside and, with `inject.ts` in it, from inside. The product has no means
 * for any of this.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * kill: SIGKILL. abort: SIGABRT, which Node.js does not catch. stop: SIGSTOP, only a watchdog helps. throw: an exception that
 * nobody catches. spin: an endless loop. memory: it takes memory until there is none. window: SIGKILL at the worst moment, when
 * bytes of the database have been read and not been put down.
 */
export const blowKinds = ['kill', 'abort', 'stop', 'throw', 'spin', 'memory', 'window'] as const;
export type BlowKind = (typeof blowKinds)[number];

/** forget: what the database says is not put down. spoil: it is put down with a bit changed. */
export const plantKinds = ['none', 'forget', 'spoil'] as const;
export type PlantKind = (typeof plantKinds)[number];

const signals = {
  kill: 'SIGKILL',
  abort: 'SIGABRT',
  stop: 'SIGSTOP',
  throw: 'SIGUSR2',
  spin: 'SIGUSR2',
  memory: 'SIGUSR2',
  window: 'SIGUSR2',
} as const;
const injector = new URL('./inject.js', import.meta.url);
/** Of JavaScript, not of buffers: a worker of the proxy needs a third of it. */
const heapMiB = 256;

export class Blows {
  readonly #directory = mkdtempSync(join(tmpdir(), 'hf-crash-'));
  readonly #plant: PlantKind;

  /** @param plant something that is wrong in all workers: the run must fail */
  constructor(plant: PlantKind = 'none') {
    this.#plant = plant;
  }

  /** Flags of Node.js for the proxy: its workers have them too. */
  get flags(): readonly string[] {
    const url = new URL(injector);
    url.searchParams.set('file', this.#file);
    url.searchParams.set('plant', this.#plant);
    return [`--max-old-space-size=${heapMiB}`, `--import=${url}`];
  }

  strike(pid: number, kind: BlowKind): void {
    writeFileSync(this.#file, kind);
    process.kill(pid, signals[kind]);
  }

  close(): void {
    rmSync(this.#directory, { recursive: true });
  }

  get #file(): string {
    return join(this.#directory, 'blow');
  }
}
