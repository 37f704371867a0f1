import { cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Puts everything that was written by anybody out of the way of the world's end, for whoever looks for the cause.
 * @param run what it was, for the name
 * @returns undefined when nothing was wrong
 */
export function keepIfWrong(
  run: string,
  ok: boolean,
  directory: string,
  say: (text: string) => void,
): string | undefined {
  if (ok) return undefined;
  const kept = join(tmpdir(), `holdfast-${run}-${process.pid}`);
  cpSync(directory, kept, { recursive: true });
  say(`something was wrong; all logs are in ${kept}`);
  return kept;
}
