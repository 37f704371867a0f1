import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { hasSigned } from '../../../migrate/keys/authority.js';
import { KeyDirectory } from '../../../migrate/keys/directory.js';
import { identity, makeKeys } from '../../shim/program/certificates.js';

t.test('all files are private, and so is the directory', async (t) => {
  const { directory } = await makeKeys(t, 'proxy', 'agent', 'workload:orders');
  t.equal(statSync(directory).mode & 0o777, 0o700);
  const files = readdirSync(directory);
  t.same(files.toSorted(), ['agent.pem', 'ca.key', 'ca.pem', 'proxy.pem', 'workload-orders.pem']);
  for (const file of files) t.equal(statSync(join(directory, file)).mode & 0o777, 0o600, file);
  chmodSync(directory, 0o750);
  await t.rejects(new KeyDirectory(directory).issue([identity('operator')], 1, false), { code: 'keys-not-private' });
});

t.test('nothing is overwritten unless it was asked for', async (t) => {
  const made = await makeKeys(t, 'proxy');
  const content = () => readdirSync(made.directory).map((file) => readFileSync(join(made.directory, file), 'utf8'));
  const before = content();
  await t.rejects(made.keys.init(), { code: 'keys-exist' });
  await t.rejects(made.keys.issue([identity('operator'), identity('proxy')], 1, false), { code: 'keys-exist' });
  t.same(content(), before, 'all of a command or nothing');
  await made.keys.issue([identity('proxy')], 1, true);
  t.notSame(content(), before);
});

t.test('the authority changes in three steps, in this order, and every certificate with it', async (t) => {
  const made = await makeKeys(t, 'proxy', 'workload:orders');
  const { keys, ca } = made;
  const file = (who: string) => made.file(who);
  const read = (path: string) => readFileSync(path, 'utf8');
  const former = read(ca);
  for (const step of ['issue', 'retire'] as const) await t.rejects(keys.rotate(step, 30), { code: 'keys-wrong-step' });
  await keys.rotate('trust', 30);
  t.ok(read(ca).startsWith(former), 'both are trusted');
  t.ok(hasSigned(former, read(file('proxy'))));
  await keys.issue([identity('operator')], 30, false);
  t.ok(hasSigned(former, read(file('operator'))), 'until all trust the new one, the former signs');
  for (const step of ['trust', 'retire'] as const) await t.rejects(keys.rotate(step, 30), { code: 'keys-wrong-step' });
  await keys.rotate('issue', 30);
  for (const who of ['proxy', 'operator', 'workload:orders']) t.notOk(hasSigned(former, read(file(who))), who);
  await keys.rotate('retire', 30);
  t.notOk(read(ca).includes(former));
  for (const who of ['proxy', 'operator', 'workload:orders']) t.ok(hasSigned(read(ca), read(file(who))), who);
  t.equal(keys.nextStep(), 'trust');
});

t.test('an authority is not dropped while a certificate of it is left', async (t) => {
  const made = await makeKeys(t, 'proxy', 'agent');
  const old = t.testdir();
  await made.keys.rotate('trust', 30);
  copyFileSync(made.file('agent'), join(old, 'agent.pem'));
  await made.keys.rotate('issue', 30);
  copyFileSync(join(old, 'agent.pem'), made.file('agent'));
  t.match(
    made.keys.list().find(({ who }) => who === 'agent'),
    { signedBy: 'other' },
  );
  await t.rejects(made.keys.rotate('retire', 30), { code: 'keys-wrong-step', message: /has signed agent: use/ });
  await made.keys.issue([identity('agent')], 30, true);
  await made.keys.rotate('retire', 30);
});

t.test('a directory without an authority, or with files that are something else, is named', async (t) => {
  const empty = join(t.testdir(), 'keys');
  t.throws(() => new KeyDirectory(empty).list(), { code: 'keys-missing', message: /holdfast keys init/ });
  const made = await makeKeys(t, 'proxy', 'agent');
  copyFileSync(made.file('agent'), made.file('proxy'));
  t.throws(() => made.keys.list(), { code: 'keys-invalid', message: /proxy.pem is not a certificate of what/ });
  writeFileSync(join(made.directory, 'ca.key'), 'x');
  await t.rejects(made.keys.issue([identity('operator')], 1, false), { code: 'keys-invalid' });
  const other = await makeKeys(t);
  copyFileSync(join(other.directory, 'ca.key'), join(made.directory, 'ca.key'));
  await t.rejects(made.keys.issue([identity('operator')], 1, false), {
    code: 'keys-invalid',
    message: /of no authority/,
  });
});

const cli = new URL('../../../migrate/cli.js', import.meta.url).pathname;
const run = promisify(execFile);
const keysCommand = (...words: string[]) => run(process.execPath, [cli, 'keys', ...words]);

t.test('the commands: an authority, certificates, a list with the ends, wrong words', async (t) => {
  const dir = join(t.testdir(), 'keys');
  mkdirSync(dir, { mode: 0o700 });
  const where = ['--keys-dir', dir];
  t.match((await keysCommand('init', ...where)).stdout, /wrote .*ca\.pem\nwrote .*ca\.key\nkeep ca\.key off/);
  const made = JSON.parse(
    (await keysCommand('issue', ...where, '--json', '--days', '20', 'proxy', 'workload:a')).stdout,
  );
  t.same(made, { files: [join(dir, 'proxy.pem'), join(dir, 'workload-a.pem')] });
  const shown = await keysCommand('show', ...where);
  t.match(shown.stdout, /WHO +FILE +EXPIRES +DAYS LEFT +SIGNED BY\nauthority(.|\n)*workload:a +workload-a.pem +\d{4}-/);
  t.match(shown.stderr, /the certificate of proxy ends in (19|20) days/);
  t.match(JSON.parse((await keysCommand('show', ...where, '--json')).stdout), { nextStep: 'trust' });
  await t.rejects(keysCommand('issue', ...where, 'everybody'), {
    code: 2,
    stderr: /"everybody" is not allowed, expected/,
  });
  await t.rejects(keysCommand('rotate', ...where, 'all'), { code: 2, stderr: /is no step/ });
  await t.rejects(keysCommand('rotate', ...where, 'issue', '--json'), { code: 1, stdout: /"code": "keys-wrong-step"/ });
});
