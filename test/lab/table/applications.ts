import { join } from 'node:path';
import type { CommandLine } from '../../../fixtures/lab/program.js';
import { node } from '../../../fixtures/lab/world.js';
import type { MoverName } from '../../../migrate/record.js';
import { pythonInterpreter } from '../../interop/drivers.js';

/**
 * An application that is moved in mid-transaction, with its load on. Its program understands `fixtures/apps/node/orders.ts`, the
 * arguments and the lines that it prints. A row of the table is a declaration here.
 */
export interface Application {
  readonly name: string;
  readonly mover: MoverName;
  /** Sessions, each in a transaction of its own. */
  readonly lanes: number;
  /** Installs what is missing. @returns its command, before the arguments */
  prepare(): Promise<CommandLine>;
}

const programs = new URL('../../../fixtures/apps/', import.meta.url).pathname;
const sources = new URL('../../../../fixtures/apps/', import.meta.url).pathname;

/** Reconnects when a connection breaks, so it also outlives its shim. */
export const service: Application = {
  name: 'node: HTTP, pool, worker, pino',
  mover: 'criu',
  lanes: 3,
  prepare: async () => node(join(programs, 'node/orders.js')),
};

export const applications: readonly Application[] = [
  service,
  {
    name: 'python: threads, pool',
    mover: 'criu',
    lanes: 3,
    prepare: async () => ({ file: await pythonInterpreter(), args: [join(sources, 'python/orders.py')] }),
  },
];
