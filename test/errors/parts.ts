import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Program } from '../../fixtures/lab/program.js';

/** The commands as a user starts them, each a process of its own. */
export const commands = {
  holdfast: new URL('../../migrate/cli.js', import.meta.url).pathname,
  'holdfast-shim': new URL('../../shim/main.js', import.meta.url).pathname,
  'holdfast-proxy': new URL('../../proxy/main.js', import.meta.url).pathname,
  'holdfast-oracle': new URL('../../fixtures/oracle/main.js', import.meta.url).pathname,
} as const;
export type CommandName = keyof typeof commands;

export interface LogLine {
  readonly level: number;
  readonly name: string;
  readonly msg: string;
  readonly code?: string;
  readonly [field: string]: unknown;
}

export const warning = 40;

/** Starts a command; it is stopped at the end of the test. */
export function start(t: Test, name: CommandName, ...words: readonly string[]): Program {
  const program = new Program(name, { file: process.execPath, args: [commands[name], ...words] });
  t.teardown(() => program.stop());
  return program;
}

/** What a program has logged so far. Throws when a line is not JSON. */
export function logOf(program: Program): LogLine[] {
  return program.stderr
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

export function directory(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'hf-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file with a fresh secret. */
export function secretFile(t: Test, secret = randomBytes(32).toString('base64')): string {
  const file = join(directory(t), 'secret');
  writeFileSync(file, secret, { mode: 0o600 });
  return file;
}

/** The port in a log line such as `"listen":{"host":"127.0.0.1","port":1521}`. */
export async function portOf(program: Program, what = 'listen'): Promise<number> {
  const [, port] = await program.printed(new RegExp(`"${what}":\\{"host":"[^"]+","port":(\\d+)\\}`));
  return Number(port);
}

/** What a promise was rejected with; the test fails when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was thrown');
}
