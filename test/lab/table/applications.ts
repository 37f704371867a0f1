import { join } from 'node:path';
import type { CommandLine } from '../../../fixtures/lab/program.js';
import { node } from '../../../fixtures/lab/world.js';
import type { MoverName } from '../../../migrate/record.js';
import { javaRuntime, pythonInterpreter } from '../../interop/drivers.js';

/**
 * An application that is moved in mid-transaction, with its load on. Its program understands `fixtures/apps/node/orders.ts`, the
 * arguments and the lines that it prints. A row of the table is a declaration here.
 */
export interface Application {
  readonly name: string;
  /** With runc and podman it is a container with the machine's own programs in it. */
  readonly mover: MoverName;
  /** Sessions, each in a transaction of its own. */
  readonly lanes: number;
  /** Installs what is missing. @returns its command, before the arguments */
  prepare(): Promise<CommandLine>;
}

const programs = new URL('../../../fixtures/apps/', import.meta.url).pathname;
const sources = new URL('../../../../fixtures/apps/', import.meta.url).pathname;

const nodeOrders = async () => node(join(programs, 'node/orders.js'));

/** Reconnects when a connection breaks, so it also outlives its shim. */
export const service: Application = {
  name: 'node: HTTP, pool, worker, pino',
  mover: 'criu',
  lanes: 3,
  prepare: nodeOrders,
};

export const applications: readonly Application[] = [
  service,
  {
    name: 'python: threads, pool',
    mover: 'criu',
    lanes: 3,
    prepare: async () => ({ file: await pythonInterpreter(), args: [join(sources, 'python/orders.py')] }),
  },
  {
    name: 'java: threads, HikariCP',
    mover: 'criu',
    lanes: 3,
    prepare: async () => {
      const { file, args } = await javaRuntime();
      return { file, args: [...args, 'Orders'] };
    },
  },
  {
    name: 'shell: a pipeline, one end connected',
    mover: 'criu',
    lanes: 1,
    prepare: async () => {
      const { file, args } = node(join(programs, 'insert-orders.js'));
      return { file: 'sh', args: [join(sources, 'shell/orders.sh'), file, ...args] };
    },
  },
  { name: 'container: the service of node', mover: 'runc', lanes: 3, prepare: nodeOrders },
  { name: 'podman: the service of node, in a container', mover: 'podman', lanes: 3, prepare: nodeOrders },
];
