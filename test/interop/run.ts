import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { CommandLine, Program } from '../../fixtures/lab/program.js';
import { account } from '../../fixtures/lab/world.js';
import { type Event, eventsOf } from './transcript.js';

/** A program under way: one of our own children, or a workload of an agent. */
export interface Running {
  output(): string;
  /** Undefined while it runs. */
  exitCode(): number | null | undefined;
}

export interface Played {
  readonly events: readonly Event[];
  /** What was wrong with this run; nothing when it is one to compare. */
  readonly failures: readonly string[];
}

/** What happens around a program while it runs. Called for each event, before the gate that the event names is opened. */
export type Around = (event: Event) => Promise<readonly string[]>;

const pollMs = 10;
/** For one program; a healthy machine needs a few seconds. */
const programMsMax = 90_000;
const lastWordsLength = 400;

/** Where a program connects to, what it works on, and where its gates are. */
export interface Stage {
  readonly address: string;
  readonly table: string;
  readonly gates: string;
}

export function commandAt({ file, args }: CommandLine, { address, table, gates }: Stage): CommandLine {
  mkdirSync(gates, { recursive: true });
  const { user, password, service } = account;
  return { file, args: [...args, `${address}/${service}`, user, password, table, gates] };
}

export function runningProgram(program: Program): Running {
  let code: number | null | undefined;
  void program.ended.then((ended) => {
    code = ended.code;
  });
  return { output: () => program.stdout + program.stderr, exitCode: () => code };
}

/** Follows a program to its end, opening its gates one by one. */
export async function follow(running: Running, gates: string, around: Around): Promise<Played> {
  const failures: string[] = [];
  const deadline = performance.now() + programMsMax;
  let seen = 0;
  for (;;) {
    const code = running.exitCode();
    const events = eventsOf(running.output());
    for (const event of events.slice(seen)) {
      failures.push(...(await around(event)));
      if (typeof event.gate === 'string') writeFileSync(join(gates, event.gate), '');
    }
    seen = events.length;
    if (code !== undefined) {
      const isWhole = code === 0 && events.at(-1)?.done !== undefined;
      if (!isWhole) failures.push(`ended with ${code}: ${running.output().trim().slice(-lastWordsLength)}`);
      return { events, failures };
    }
    if (performance.now() > deadline) {
      failures.push(`did not end within ${programMsMax} ms: ${running.output().trim().slice(-lastWordsLength)}`);
      return { events, failures };
    }
    await setTimeout(pollMs);
  }
}
