import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '../../fixtures/lab/cache.js';

const run = promisify(execFile);

/** A first Maven run downloads Maven's own plugins too. */
const installMsMax = 300_000;
const outputBytesMax = 16 * 1_048_576;

/** Runs a client of a package registry; its error is the last words of what it printed. */
export async function client(file: string, ...args: readonly string[]): Promise<void> {
  try {
    await run(file, [...args], { timeout: installMsMax, maxBuffer: outputBytesMax });
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const printed = 'stdout' in cause && 'stderr' in cause ? `${cause.stdout}\n${cause.stderr}` : '';
    const words = printed.split('\n').filter((line) => /error|not found|failed/i.test(line));
    throw new Error(`${file} ${args[0] ?? ''}: ${words[0] ?? cause.message.split('\n')[0]}`, { cause });
  }
}

/** What this process is installing or has installed: two drivers may share a directory. */
const underWay = new Map<string, Promise<string>>();

/**
 * A directory of the user in which something is installed once, and again when what is wanted changes.
 * @param wanted everything the content depends on
 */
export function installed(
  name: string,
  wanted: unknown,
  install: (directory: string) => Promise<void>,
): Promise<string> {
  const key = createHash('sha256').update(JSON.stringify(wanted)).digest('hex').slice(0, 12);
  const directory = join(cacheDirectory(), 'drivers', `${name}-${key}`);
  const known = underWay.get(directory) ?? fill(directory, install);
  underWay.set(directory, known);
  return known;
}

async function fill(directory: string, install: (directory: string) => Promise<void>): Promise<string> {
  const ready = join(directory, '.ready');
  if (existsSync(ready)) return directory;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await install(directory);
  writeFileSync(ready, '');
  return directory;
}
