import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `none` goes the same way and changes nothing: what fails with it does not fail because of the fault. */
export const faultKinds = ['none', 'drop', 'repeat', 'swap'] as const;
export type FaultKind = (typeof faultKinds)[number];
/** up: from the application to the database. */
export type FaultDirection = 'up' | 'down';

export interface Fault {
  readonly kind: FaultKind;
  readonly direction: FaultDirection;
  /** The end that receives spoils the byte, not the one that stores it: the two have other bytes then. */
  readonly onArrival?: true;
}

const injector = new URL('./inject.js', import.meta.url).href;
const waitMs = 60_000;
/** An application that waits for a byte which was dropped would wait for ever. */
const afterStruckMs = 5_000;

/** Makes every shim and proxy that this process starts from now on one that can be broken. */
export function installFaults(): { readonly directory: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'hf-faults-'));
  process.env.NODE_OPTIONS = `--import=${injector}`;
  process.env.LINK_FAULTS = directory;
  return { directory, remove: () => rmSync(directory, { recursive: true }) };
}

/** The fault switch of one workload. */
export class FaultSwitch {
  readonly #directory: string;
  readonly #workload: string;
  readonly #fault: Fault;

  constructor(directory: string, workload: string, fault: Fault) {
    this.#directory = directory;
    this.#workload = workload;
    this.#fault = fault;
  }

  /** Variables for the workload's own processes: agents do not hand theirs on. */
  get env(): readonly string[] {
    const { NODE_OPTIONS, LINK_FAULTS } = process.env;
    return [`NODE_OPTIONS=${NODE_OPTIONS}`, `LINK_FAULTS=${LINK_FAULTS}`, `LINK_FAULTS_WORKLOAD=${this.#workload}`];
  }

  /** From the next bind on. */
  arm(): void {
    writeFileSync(join(this.#directory, `${this.#workload}.json`), JSON.stringify(this.#fault));
  }

  get struck(): boolean {
    return existsSync(join(this.#directory, `${this.#workload}.struck`));
  }

  /** Longest wait for the next thing. */
  waitMs(): number {
    return this.struck && this.#fault.kind !== 'none' ? afterStruckMs : waitMs;
  }
}
