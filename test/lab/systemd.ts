/**
 * A real systemd, as a user manager with a /run of its own: whatever machine this is, it need not have been booted with it.
 * Needs root, for the mount namespace.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const program = '/lib/systemd/systemd';
const runtime = '/run/user';
const startMsMax = 30_000;
const stopMsMax = 20_000;
/** It looks there to see whether the machine has been booted with it. */
const script = `mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system ${runtime} \
  && exec ${program} --user --log-target=console --unit=basic.target`;

export class Systemd {
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #ended: Promise<unknown>;

  private constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(join(directory, 'systemd/user'), { recursive: true });
    const env = { ...process.env, XDG_RUNTIME_DIR: runtime, XDG_CONFIG_HOME: directory };
    this.#child = spawn('unshare', ['--mount', 'sh', '-c', script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes: Buffer) => appendFileSync(join(directory, 'systemd.log'), bytes));
    }
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** @param directory for its files: units, and what it and they print */
  static async start(directory: string): Promise<Systemd> {
    const systemd = new Systemd(directory);
    const deadlineMs = performance.now() + startMsMax;
    while (!(await systemd.systemctl('is-active', 'basic.target').catch(() => ''))) {
      if (performance.now() > deadlineMs) throw new Error(`systemd did not start within ${startMsMax} ms`);
      await setTimeout(50);
    }
    return systemd;
  }

  /** Puts a unit where it finds it. */
  async install(name: string, text: string): Promise<void> {
    writeFileSync(join(this.#directory, 'systemd/user', name), text);
    await this.systemctl('daemon-reload');
  }

  /** Rejects when the command fails. @returns what it printed */
  async systemctl(...words: readonly string[]): Promise<string> {
    const where = [`--mount=/proc/${this.#child.pid}/ns/mnt`, 'env', `XDG_RUNTIME_DIR=${runtime}`];
    const { stdout } = await run('nsenter', [...where, 'systemctl', '--user', ...words], { timeout: startMsMax });
    return stdout.trim();
  }

  /** One property of a unit, such as MainPID. */
  property(unit: string, name: string): Promise<string> {
    return this.systemctl('show', '--value', '--property', name, unit);
  }

  /** Ends all units too. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = AbortSignal.timeout(stopMsMax);
    timer.onabort = () => this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
