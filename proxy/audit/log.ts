import { type FileHandle, open } from 'node:fs/promises';
import type { Logger } from 'pino';
import { ConfigError } from '../../shim/program/config.js';
import { errorCode, errorText } from '../../shim/program/errors.js';
import type { Audit, AuditEntry, AuditState } from './entry.js';
import type { AuditLimits } from './limits.js';

export interface AuditLogOptions {
  readonly path: string;
  /** When lines cannot be written: `refuse` lets no unknown workload begin, `continue` does. Running sessions go on. */
  readonly onFailure: 'refuse' | 'continue';
  readonly limits: AuditLimits;
  readonly log: Logger;
  /** Slot of the worker, where several write to the same file: then each counts its own lines. */
  readonly slot?: number;
}

const newline = 0x0a;

/**
 * The audit log: a file that is only ever appended to, one JSON object a line. Lines of one turn of the event loop are
 * written and flushed to the disk (fdatasync) together; nobody waits for that, and at most one write is under way.
 *
 *     recorded ──► waiting ──► batch ──write, fdatasync──► done
 *                    │           ▲
 *                    │ full      └── failed: the same bytes again after retryMs, from where they stopped
 *                    ▼
 *                   lost, counted, and told by a line `gap` when lines can be written again
 *
 * `n` counts the lines of one process: a reader sees from it what is missing, and what a broken flush made come twice.
 */
export class AuditLog implements Audit {
  readonly #options: AuditLogOptions;
  #file: FileHandle;
  #lines: Buffer[] = [];
  #waitingBytes = 0;
  #batch: Buffer | undefined;
  /** How much of the batch is in the file. */
  #at = 0;
  #count = 0;
  #failures = 0;
  #lostLines = 0;
  #mustReopen = false;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosing = false;

  private constructor(options: AuditLogOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
  }

  /** @throws {ConfigError} bad-option */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    try {
      return new AuditLog(options, await openFile(options.path));
    } catch (cause) {
      throw new ConfigError('bad-option', `--audit-log: ${options.path} cannot be written: ${errorText(cause)}`, {
        cause,
      });
    }
  }

  get refusesNew(): boolean {
    return this.#failures > 0 && this.#options.onFailure === 'refuse';
  }

  get state(): AuditState {
    return {
      path: this.#options.path,
      isFailing: this.#failures > 0,
      waitingBytes: this.#waitingBytes,
      lostLines: this.#lostLines,
    };
  }

  record(entry: AuditEntry): void {
    this.#count += 1;
    const { slot } = this.#options;
    const writer = slot === undefined ? {} : { worker: slot };
    const line = Buffer.from(
      `${JSON.stringify({ at: new Date().toISOString(), n: this.#count, ...writer, ...entry })}\n`,
    );
    if (this.#waitingBytes + line.length > this.#options.limits.waitingBytesMax) {
      this.#lostLines += 1;
      if (this.#lostLines === 1) this.#options.log.error({ code: 'audit-lost' }, 'lines of the audit log are lost');
      return;
    }
    this.#lines.push(line);
    this.#waitingBytes += line.length;
    this.#start();
  }

  /** Writes to a new file of the same name from now on: whoever rotates logs has moved the old one away. */
  reopen(): void {
    this.#mustReopen = true;
    this.#start();
  }

  /** Writes what waits, once; then closes the file. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#retry);
    while (this.#running !== undefined) await this.#running;
    await this.#write();
    const { lostLines, waitingBytes } = this.state;
    if (waitingBytes > 0) {
      this.#options.log.error({ code: 'audit-lost', lostLines, waitingBytes }, 'the audit log is not whole');
    }
    await this.#file.close();
  }

  /** One run at a time, which begins when this turn of the event loop is over. While it waits to try again it is none's turn. */
  #start(): void {
    if (this.#running !== undefined || this.#retry !== undefined) return;
    this.#running = new Promise((resolve) => setImmediate(resolve))
      .then(() => this.#write())
      .finally(() => {
        this.#running = undefined;
        // What was recorded in the moment between the last look and now.
        if (this.#failures === 0 && (this.#lines.length > 0 || this.#mustReopen)) this.#start();
      });
  }

  async #write(): Promise<void> {
    try {
      while (this.#mustReopen || this.#batch !== undefined || this.#lines.length > 0) {
        if (this.#mustReopen) await this.#reopenFile();
        else await this.#writeBatch();
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #writeBatch(): Promise<void> {
    this.#batch ??= this.#takeLines();
    while (this.#at < this.#batch.length) {
      const { bytesWritten } = await this.#file.write(this.#batch, this.#at);
      this.#at += bytesWritten;
    }
    try {
      await this.#file.datasync();
    } catch (error) {
      // Pipes and terminals cannot be flushed.
      if (errorCode(error) !== 'EINVAL') {
        // What of it is on the disk nobody knows: all of it again, with the same numbers.
        this.#at = 0;
        throw error;
      }
    }
    this.#waitingBytes -= this.#batch.length;
    this.#batch = undefined;
    this.#succeeded();
  }

  #takeLines(): Buffer {
    const batch = Buffer.concat(this.#lines);
    this.#lines = [];
    this.#at = 0;
    return batch;
  }

  /** A line that has begun in the old file is written whole in the new one. */
  async #reopenFile(): Promise<void> {
    const next = await openFile(this.#options.path);
    const former = this.#file;
    this.#file = next;
    this.#mustReopen = false;
    if (this.#batch !== undefined && this.#at > 0) this.#at = this.#batch.lastIndexOf(newline, this.#at - 1) + 1;
    await former.close();
    this.#options.log.info({ path: this.#options.path }, 'audit log opened anew');
  }

  #succeeded(): void {
    if (this.#failures === 0) return;
    const { log } = this.#options;
    log.warn({ failures: this.#failures, lostLines: this.#lostLines }, 'the audit log is written again');
    this.#failures = 0;
    if (this.#lostLines > 0) this.record({ event: 'gap', lostLines: this.#lostLines });
    this.#lostLines = 0;
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    const { path, onFailure, limits, log } = this.#options;
    // The first, the second, the fourth, the eighth ... are worth a line.
    if ((this.#failures & (this.#failures - 1)) === 0) {
      const { waitingBytes, lostLines } = this.state;
      const facts = { path, onFailure, failures: this.#failures, waitingBytes, lostLines };
      log.error({ code: 'audit-failed', ...facts, err: error }, 'the audit log cannot be written');
    }
    if (this.#isClosing) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#start();
    }, limits.retryMs);
  }
}

function openFile(path: string): Promise<FileHandle> {
  return open(path, 'a', 0o640);
}
