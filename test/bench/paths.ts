import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { freePort } from '../../fixtures/lab/ports.js';
import { type CommandLine, Program } from '../../fixtures/lab/program.js';
import { node } from '../../fixtures/lab/world.js';
import { hostCertificate, hostKey } from '../proxy/backend/conformance/certificates.js';
import { findHaproxy, type HaproxyFound, type Hop, haproxyConfig } from './haproxy.js';

/** Ways from a driver to the database, in the order in which they are measured: what is compared comes one after the other. */
export const pathNames = [
  'direct',
  'haproxy-1',
  'haproxy-2-apart',
  'haproxy-2',
  'holdfast',
  'holdfast-no-journal',
  'holdfast-tls',
  'haproxy-2-tls',
] as const;
export type PathName = (typeof pathNames)[number];

export const pathTitles: Readonly<Record<PathName, string>> = {
  direct: 'direct',
  'haproxy-1': 'HAProxy, one hop',
  'haproxy-2': 'HAProxy, two hops',
  'haproxy-2-apart': 'HAProxy, two hops, two processes',
  'haproxy-2-tls': 'HAProxy, two hops, TLS between',
  holdfast: 'Holdfast, plain link',
  'holdfast-tls': 'Holdfast, TLS link',
  'holdfast-no-journal': 'Holdfast, plain link, no journal',
};

export interface Path {
  readonly name: PathName;
  /** Where drivers connect, on 127.0.0.1. */
  readonly port: number;
  /** What is between driver and database, the nearest to the driver first. */
  readonly processes: readonly { readonly role: string; readonly pid: number }[];
  /** Control socket of the shim, where there is one. */
  readonly shimControl: string | undefined;
}

const programs = {
  shim: new URL('../../shim/main.js', import.meta.url).pathname,
  proxy: new URL('../../proxy/main.js', import.meta.url).pathname,
} as const;
const startMsMax = 30_000;
const pollMs = 20;

/** Starts and stops the programs of the ways. Close it, whatever happens. */
export class Stand {
  readonly #directory = mkdtempSync(join(tmpdir(), 'hf-bench-'));
  readonly #programs: Program[] = [];
  readonly #nodeFlags: (role: string) => readonly string[];
  #haproxy: HaproxyFound | undefined;
  #count = 0;

  /** @param nodeFlags of the runtime, for shim and proxy */
  constructor(nodeFlags: (role: string) => readonly string[] = () => []) {
    this.#nodeFlags = nodeFlags;
  }

  /** Where a file or socket of this name may be, until this is closed. */
  place(name: string): string {
    return join(this.#directory, name);
  }

  /** A program that runs until it is stopped or ends. */
  start(name: string, command: CommandLine): Program {
    this.#count += 1;
    const program = new Program(name, command, { logFile: join(this.#directory, `${this.#count}-${name}.log`) });
    this.#programs.push(program);
    void program.ended.then(() => this.#programs.splice(this.#programs.indexOf(program), 1));
    return program;
  }

  /** @returns why there is no such way here, or the way */
  async open(name: PathName, databasePort: number): Promise<Path | { readonly missing: string }> {
    if (name === 'direct') return { name, port: databasePort, processes: [], shimControl: undefined };
    if (isHaproxy(name)) return this.#openHaproxy(name, databasePort);
    return this.#openHoldfast(name, databasePort);
  }

  async haproxy(): Promise<HaproxyFound> {
    this.#haproxy ??= await findHaproxy();
    return this.#haproxy;
  }

  /** Ends all programs: the last ones first, so that proxies end before the database. */
  async stop(): Promise<void> {
    for (const program of this.#programs.toReversed()) await program.stop();
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#directory, { recursive: true });
  }

  async #openHaproxy(name: HaproxyName, databasePort: number): Promise<Path | { readonly missing: string }> {
    const found = await this.haproxy();
    if (found.kind === 'missing') return { missing: found.reason };
    const [port, between] = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
    const certificate = join(this.#directory, 'haproxy.pem');
    writeFileSync(certificate, `${hostCertificate}\n${hostKey}\n`, { mode: 0o600 });
    const isTls = name === 'haproxy-2-tls';
    const central = { listen: between, to: databasePort, ...(isTls ? { certificate } : {}) };
    const sidecar = { listen: port, to: between, isTlsTo: isTls };
    const programs: Readonly<Record<string, readonly Hop[]>> = {
      'haproxy-1': { haproxy: [{ listen: port, to: databasePort }] },
      'haproxy-2': { haproxy: [central, sidecar] },
      'haproxy-2-apart': { sidecar: [sidecar], central: [central] },
      'haproxy-2-tls': { haproxy: [central, sidecar] },
    }[name];
    const processes: { role: string; pid: number }[] = [];
    for (const [role, hops] of Object.entries(programs)) {
      processes.push({ role, pid: await this.#startHaproxy(found.command, hops) });
    }
    return { name, port, processes, shimControl: undefined };
  }

  async #startHaproxy([file, ...args]: readonly [string, ...string[]], hops: readonly Hop[]): Promise<number> {
    const config = join(this.#directory, `haproxy-${hops.map(({ listen }) => listen).join('-')}.cfg`);
    writeFileSync(config, haproxyConfig(hops));
    const program = this.start('haproxy', { file, args: [...args, '-db', '-f', config] });
    for (const { listen } of hops) await this.#listening(program, listen);
    return program.child.pid ?? 0;
  }

  /** HAProxy says nothing when it is ready. */
  async #listening(program: Program, port: number): Promise<void> {
    const untilMs = performance.now() + startMsMax;
    while (!(await accepts(port))) {
      if (performance.now() > untilMs || program.child.exitCode !== null) {
        throw new Error(`${program.name} does not listen: ${program.stderr.trim()}`);
      }
      await setTimeout(pollMs);
    }
  }

  async #openHoldfast(name: PathName, databasePort: number): Promise<Path | { readonly missing: string }> {
    const journal = name === 'holdfast-no-journal' ? ['--journal', 'off'] : [];
    if (journal.length > 0 && !(await this.#proxyKnows('--journal'))) {
      return { missing: 'this holdfast-proxy has no option --journal' };
    }
    const [port, link] = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
    const own = this.place(name);
    writeFileSync(`${own}-secret`, randomBytes(32).toString('base64'), { mode: 0o600 });
    const security = name === 'holdfast-tls' ? ['--secret-file', `${own}-secret`] : ['--insecure-plaintext'];
    const proxy = this.start(
      'proxy',
      node(
        ...this.#nodeFlags('proxy'),
        programs.proxy,
        ...['--database', `127.0.0.1:${databasePort}`, '--listen', `127.0.0.1:${link}`],
        ...['--control-socket', `${own}-proxy`, ...security, ...journal],
      ),
    );
    await proxy.printed(/ready for shims/);
    const shim = this.start(
      'shim',
      node(
        ...this.#nodeFlags('shim'),
        programs.shim,
        ...['--workload', 'bench', '--proxy', `127.0.0.1:${link}`, '--listen', `127.0.0.1:${port}`],
        ...['--control-socket', `${own}-shim`, ...security],
      ),
    );
    await shim.printed(/"bound"/);
    const processes = [
      { role: 'shim', pid: shim.child.pid ?? 0 },
      { role: 'proxy', pid: proxy.child.pid ?? 0 },
    ];
    return { name, port, processes, shimControl: `${own}-shim` };
  }

  async #proxyKnows(option: string): Promise<boolean> {
    const { stdout } = await this.start('proxy-help', node(programs.proxy, '--help')).ended;
    return stdout.includes(option);
  }
}

type HaproxyName = Extract<PathName, `haproxy-${string}`>;

function isHaproxy(name: PathName): name is HaproxyName {
  return name.startsWith('haproxy-');
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
