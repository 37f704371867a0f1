import fs, { existsSync, readFileSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Loaded into agents (`NODE_OPTIONS=--import`): kills a process at the very moment when the journal of a move is about to say what
 * the file named by HOLDFAST_LAB_GATE waits for. Nothing of the product knows of it.
 */
const file = process.env.HOLDFAST_LAB_GATE ?? '';
const write = fs.writeSync as (...args: readonly unknown[]) => number;

if (file !== '' && process.argv.includes('agent')) {
  Object.assign(fs, {
    writeSync: (...args: readonly unknown[]) => {
      const written = write(...args);
      if (!existsSync(file)) return written;
      const { says, pid }: { says: string; pid: number } = JSON.parse(readFileSync(file, 'utf8'));
      if (!String(args[1]).includes(says)) return written;
      rmSync(file);
      process.kill(pid === 0 ? process.pid : pid, 'SIGKILL');
      return written;
    },
  });
  syncBuiltinESMExports();
}
