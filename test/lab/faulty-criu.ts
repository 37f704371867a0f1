import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** CRIU with faults: a file named after its verb says what goes wrong. */
export function faultyCriu(t: Test, criu: string) {
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'criu');
  writeFileSync(
    path,
    `#!/bin/sh\nif [ -e '${directory}/'"$1" ]; then . '${directory}/'"$1"; fi\nexec '${criu}' "$@"\n`,
  );
  chmodSync(path, 0o755);
  return {
    path,
    /** The verb does this first: shell text in which $criu is the real one. */
    set: (verb: string, script: string) => writeFileSync(join(directory, verb), `criu='${criu}'\n${script}\n`),
    clear: (verb: string) => rmSync(join(directory, verb)),
  };
}
