import { execFileSync } from 'node:child_process';
import fs, { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { readOrNothing } from '../../migrate/workload/process.js';

/** What happens when the journal of a move has just said something. */
export interface Gate {
  readonly says: string;
  /** Killed; 0 is the agent itself. */
  readonly pid?: number;
  /** Killed are all processes with this in their command line. */
  readonly matching?: string;
  /** Done by a shell. */
  readonly run?: string;
}

/**
 * Loaded into agents (`NODE_OPTIONS=--import`): strikes at the very moment when the journal of a move has said what the file named by
 * HOLDFAST_LAB_GATE waits for. Nothing of the product knows of it.
 */
const file = process.env.HOLDFAST_LAB_GATE ?? '';
const write = fs.writeSync as (...args: readonly unknown[]) => number;

if (file !== '' && process.argv.includes('agent')) {
  Object.assign(fs, {
    writeSync: (...args: readonly unknown[]) => {
      const written = write(...args);
      if (!existsSync(file)) return written;
      const { says, pid, matching, run }: Gate = JSON.parse(readFileSync(file, 'utf8'));
      if (!String(args[1]).includes(says)) return written;
      rmSync(file);
      if (run !== undefined) execFileSync('sh', ['-c', run], { stdio: 'ignore' });
      if (matching !== undefined) for (const each of processesWith(matching)) process.kill(each, 'SIGKILL');
      if (pid !== undefined) process.kill(pid === 0 ? process.pid : pid, 'SIGKILL');
      return written;
    },
  });
  syncBuiltinESMExports();
}

function processesWith(text: string): readonly number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((pid) => readOrNothing(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').includes(text));
}
