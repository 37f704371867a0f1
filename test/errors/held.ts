import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import oracledb, { type Connection } from 'oracledb';
import type { Test } from 'tap';
import { type CommandLine, type Ended, Program } from '../../fixtures/lab/program.js';
import { shimContract } from '../../shim/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';
import { commands, directory, portOf, start } from './parts.js';

const plain = ['--insecure-plaintext'];

export interface Held {
  readonly oracle: Program;
  readonly proxy: Program;
  readonly shim: Program;
  readonly directory: string;
  /** The proxy's addresses, for links and for control. */
  readonly data: string;
  readonly control: string;
  readonly databasePort: number;
  /** Through the shim, or to another port. */
  connect(port?: number): Promise<Connection>;
  detach(): Promise<void>;
  attach(): Promise<unknown>;
  holdfast(...words: readonly string[]): Promise<Ended>;
  /** Starts one more shim, which is one more application to the proxy. */
  otherShim(workload: string): Program;
}

export interface HeldOptions {
  readonly proxy?: readonly string[];
  /** How each part is protected: `proxy`, `operator`, `workload:orders`. Not at all when left out. */
  readonly protection?: (who: string) => readonly string[];
  /** Puts the proxy's command line into another one. */
  readonly around?: (command: CommandLine) => CommandLine;
}

/** An own database, a proxy and a shim, as real processes, and an operator's command line. */
export async function held(t: Test, options: HeldOptions = {}): Promise<Held> {
  const home = directory(t);
  const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0');
  const databasePort = await portOf(oracle);
  const database = `127.0.0.1:${databasePort}`;
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
  const { proxy: own = [], around = (command) => command, protection = () => plain } = options;
  // At the end of a test nobody waits for what it has left behind.
  const args = [
    commands['holdfast-proxy'],
    '--database',
    database,
    ...listen,
    ...protection('proxy'),
    '--drain',
    '0s',
    ...own,
  ];
  const proxy = new Program('holdfast-proxy', around({ file: process.execPath, args }));
  t.teardown(() => proxy.stop());
  const data = `127.0.0.1:${await portOf(proxy)}`;
  const control = `127.0.0.1:${await portOf(proxy, 'control')}`;
  const socket = join(home, 'shim.sock');
  const words = ['--workload', 'orders', '--listen', '127.0.0.1:0', '--control-socket', socket, '--proxy', data];
  const shim = start(t, 'holdfast-shim', ...words, ...protection('workload:orders'));
  const shimPort = await portOf(shim);
  await shim.printed(/"bound"/);
  const cluster = join(home, 'cluster.yaml');
  writeFileSync(cluster, `nodes: {}\nproxy: { data: "${data}", control: "${control}" }\n`);
  return {
    oracle,
    proxy,
    shim,
    directory: home,
    data,
    control,
    databasePort,
    connect: (port = shimPort) =>
      oracledb.getConnection({ user: 'app', password: 'app', connectString: `127.0.0.1:${port}/orders` }),
    detach: async () => {
      await callControl(shimContract, { path: socket }, 'detach', {});
      await proxy.printed(/"held"/);
    },
    otherShim: (workload) => {
      const other = ['--workload', workload, '--listen', '127.0.0.1:0', '--proxy', data];
      return start(t, 'holdfast-shim', ...other, ...protection(`workload:${workload}`));
    },
    attach: () => callControl(shimContract, { path: socket }, 'attach', {}),
    holdfast: (...args) => {
      const files = ['--cluster', cluster, ...protection('operator')];
      return new Program('holdfast', { file: process.execPath, args: [commands.holdfast, ...args, ...files] }).ended;
    },
  };
}
