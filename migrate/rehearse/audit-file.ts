import { machineMs } from './plan.js';
import { Tail } from './tail.js';

/** What a rehearsal reads of a line of the proxy's audit log. */
export interface AuditLine {
  readonly event: string;
  /** Wall clock, ISO 8601. */
  readonly at: string;
  readonly workload?: string;
  readonly code?: string;
  readonly epoch?: number;
  readonly address?: string;
  readonly fault?: string;
  readonly act?: {
    readonly action: string;
    readonly leg?: string | undefined;
    readonly point?: string | undefined;
    readonly call?: string | undefined;
    readonly session?: number | undefined;
    readonly match?: number | undefined;
  };
}

/** The audit log of a proxy that is ours: the one place where everything that has happened to links and sessions stands. */
export class AuditFile {
  readonly #tail: Tail;
  readonly #lines: AuditLine[] = [];
  /** From the wall clock to the machine's. */
  readonly #offsetMs = Date.now() - machineMs();

  constructor(path: string) {
    this.#tail = new Tail(path);
  }

  /** All so far. */
  lines(): readonly AuditLine[] {
    for (const line of this.#tail.read()) this.#lines.push(JSON.parse(line));
    return this.#lines;
  }

  /** On the clock of histories. */
  machineMs({ at }: AuditLine): number {
    return Date.parse(at) - this.#offsetMs;
  }
}
