import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** CRIU or runc with faults: a file named after a verb says what goes wrong when that is among the arguments. */
export function faultyProgram(t: Test, program: string) {
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'program');
  const look = `for word in "$@"; do case $word in */*) ;; *) [ ! -e '${directory}/'"$word" ] || . '${directory}/'"$word" ;; esac; done`;
  writeFileSync(path, `#!/bin/sh\n${look}\nexec '${program}' "$@"\n`);
  chmodSync(path, 0o755);
  return {
    path,
    /** The verb does this first: shell text in which $program is the real one. */
    set: (verb: string, script: string) => writeFileSync(join(directory, verb), `program='${program}'\n${script}\n`),
    clear: (verb: string) => rmSync(join(directory, verb)),
  };
}
