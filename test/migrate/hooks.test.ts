import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runHook } from '../../migrate/hooks.js';
import { hookOutputBytesMax } from '../../migrate/limits.js';
import { readOrNothing } from '../../migrate/workload/process.js';

function hooksOf(t: Test, script: string, mode = 0o700) {
  const directory = t.testdir();
  const file = join(directory, 'pre-detach');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, mode);
  return { directory, timeoutMs: 60_000 };
}

t.test('a hook gets the record as a line on its standard input, and the point it stands at', async (t) => {
  const hooks = hooksOf(t, 'cat >"$(dirname "$0")/got"; echo "$HOLDFAST_HOOK" >>"$(dirname "$0")/got"');
  await runHook(hooks, 'pre-detach', { workload: 'orders' });
  t.equal(readOrNothing(join(hooks.directory, 'got')), '{"hook":"pre-detach","workload":"orders"}\npre-detach\n');
});

t.test('without a directory, or a file in it, nothing runs', async () => {
  await runHook(undefined, 'pre-detach', {});
  await runHook(hooksOf(t, 'exit 1'), 'post-bind', {});
});

t.test('one that does not read its input is no failure, also of a record longer than a pipe', async (t) => {
  await runHook(hooksOf(t, 'exit 0'), 'pre-detach', { long: 'x'.repeat(1_000_000) });
  t.pass();
});

t.test('a failure has the code and the last words of the hook', async (t) => {
  const failed = (script: string, message: RegExp, mode?: number) =>
    t.rejects(runHook(hooksOf(t, script, mode), 'pre-detach', {}), { code: 'hook-failed', message });
  await failed('echo first; echo the batch runs >&2; exit 4', /^pre-detach: ended with 4: the batch runs$/);
  await failed('kill -9 $$', /ended with SIGKILL/);
  await failed('exit 0', /EACCES/, 0o600);
  await failed('exit 0', /can be changed by others/, 0o722);
});

t.test('one that is too slow is killed with what it has started', async (t) => {
  const hooks = { ...hooksOf(t, 'echo $$ >"$(dirname "$0")/pid"; sleep 600 & wait'), timeoutMs: 300 };
  await t.rejects(runHook(hooks, 'pre-detach', {}), { code: 'hook-failed', message: /took longer than 300 ms/ });
});

t.test('of its output so much is kept as the limit allows', async (t) => {
  const error = await runHook(
    hooksOf(t, `head -c ${4 * hookOutputBytesMax} /dev/zero | tr '\\0' x; exit 1`),
    'pre-detach',
    {},
  )
    .then(() => undefined)
    .catch((thrown: Error) => thrown);
  t.equal(error?.message.length, 'pre-detach: ended with 1: '.length + hookOutputBytesMax);
});
