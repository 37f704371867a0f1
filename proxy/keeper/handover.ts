/**
 * How a keeper is upgraded: it becomes another program under the same process id (proxy/kernel/exec.ts), so that no supervisor
 * notices, and takes the descriptors along. What they are stands in a file without a name, whose descriptor goes along too:
 * the numbers of many thousands of sockets fit into no variable. Rejected: a second keeper that gets them one by one. It would
 * be a process that whoever has started the first one knows nothing of.
 */
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { becomeProgram } from '../kernel/exec.js';

/** Where workers put down what the next one must know. */
export interface JournalPlace {
  readonly directory: string;
  /** It is to be removed in the end. */
  readonly isOwn: boolean;
}

export interface Handover {
  readonly journal: JournalPlace;
  /** Descriptors of the sockets, by their numbers at the keeper, and by slot where there is more than one. */
  readonly sockets: readonly KeptSocket[];
  /** Absent: one. */
  readonly slots?: { readonly of: number; readonly meeting: string };
}

export type KeptSocket = readonly [id: number, fd: number, slot?: number];

const variable = 'HOLDFAST_KEEPER_HANDOVER';
/** A service manager tells them to a process once; here they would be taken for new ones. */
const listenVariables = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'];

/** Starts this program anew, as it is installed now, in place of itself. Does not return. @throws when it cannot be done */
export function becomeAnew(handover: Handover): never {
  const file = writeHandover(handover);
  const inherited = Object.entries(process.env).filter(([name]) => !listenVariables.includes(name));
  const environment = { ...Object.fromEntries(inherited), [variable]: String(file) };
  const words = [...process.execArgv, ...process.argv.slice(1)];
  try {
    becomeProgram(process.execPath, words, environment, [file, ...handover.sockets.map(([, fd]) => fd)]);
  } finally {
    closeSync(file);
  }
}

/** @returns what the keeper before has left, where this process was one */
export function takeHandover(environment: NodeJS.ProcessEnv): Handover | undefined {
  const file = environment[variable];
  if (file === undefined) return undefined;
  delete environment[variable];
  return readHandover(Number(file));
}

/** @returns descriptor of a file that nobody else can open */
export function writeHandover(handover: Handover): number {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-keeper-'));
  try {
    const file = openSync(join(directory, 'handover'), 'wx+', 0o600);
    writeSync(file, JSON.stringify(handover), 0);
    return file;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Closes the file. */
export function readHandover(file: number): Handover {
  const bytes = Buffer.alloc(fstatSync(file).size);
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  return JSON.parse(bytes.toString());
}
