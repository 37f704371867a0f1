import { chmodSync, copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { issue, newAuthority } from '../../../migrate/keys/authority.js';
import { Keyring } from '../../../shim/program/keyring.js';
import { makeLoggerTo } from '../../../shim/program/log.js';
import { identity, makeKeys } from './certificates.js';

function logLines(): { lines: Record<string, unknown>[]; log: ReturnType<typeof makeLoggerTo> } {
  const lines: Record<string, unknown>[] = [];
  return { lines, log: makeLoggerTo({ write: (line) => lines.push(JSON.parse(line)) }, 'test', 'info') };
}

t.test('changed files are taken up at the next look, unchanged ones are not read again', async (t) => {
  const keys = await makeKeys(t, 'proxy');
  const { lines, log } = logLines();
  const ring = new Keyring({ cert: keys.file('proxy'), key: keys.file('proxy'), ca: keys.ca }, undefined, log);
  const first = ring.current();
  t.equal(ring.current(), first);
  await keys.keys.issue([identity('proxy')], 60, true);
  const second = ring.current();
  t.not(second.cert, first.cert);
  t.equal(ring.current(), second);
  t.match(lines, [{ msg: 'new certificate taken up', identity: 'proxy', expires: /^\d{4}-/ }]);
});

t.test('files that are gone or do not fit change nothing: the former go on, and the log says so once', async (t) => {
  const keys = await makeKeys(t, 'workload:a', 'workload:b');
  const dir = t.testdir();
  const files = keys.copyTo(dir, 'workload:a');
  const { lines, log } = logLines();
  const ring = new Keyring(files, identity('workload:a'), log);
  const first = ring.current();
  const faults: readonly (readonly [RegExp, () => void])[] = [
    [/is the certificate of workload:b, not of workload:a/, () => copyFileSync(keys.file('workload:b'), files.cert)],
    [/cannot be used/, () => writeFileSync(files.cert, 'half a fi')],
    [
      /can be read by everybody/,
      () => {
        copyFileSync(keys.file('workload:a'), files.cert);
        chmodSync(files.cert, 0o644);
      },
    ],
    [
      /--tls-ca: .* cannot be read: ENOENT/,
      () => {
        chmodSync(files.cert, 0o600);
        rmSync(files.ca);
      },
    ],
    [/--tls-cert: .* cannot be read: ENOENT/, () => rmSync(files.cert)],
  ];
  for (const [index, [message, spoil]] of faults.entries()) {
    spoil();
    t.equal(ring.current(), first);
    t.equal(ring.current(), first);
    t.equal(lines.length, index + 1);
    t.match(lines[index], { code: 'bad-option', err: { message }, identity: 'workload:a' });
  }
  keys.copyTo(dir, 'workload:a');
  t.not(ring.current(), first, 'files that are whole again are taken');
});

t.test('a certificate that ends soon is worth one line a day', async (t) => {
  const keys = await makeKeys(t, 'proxy');
  const { lines, log } = logLines();
  const file = keys.file('proxy');
  const start = Date.now();
  let days = 0;
  const files = { cert: file, key: file, ca: keys.ca };
  const ring = new Keyring(files, undefined, log, () => start + days * 86_400_000);
  const linesAfter = (day: number) => {
    days = day;
    ring.current();
    ring.current();
    return lines.length;
  };
  t.same([0, 59, 61, 61.5, 62.1, 91].map(linesAfter), [0, 0, 1, 1, 2, 3]);
  t.match(lines[0], { level: 40, msg: 'the certificate ends soon', identity: 'proxy', expires: /^\d{4}-/ });
});

t.test("a certificate that names no role, or is somebody else's, is refused at the start", async (t) => {
  const keys = await makeKeys(t, 'agent:node-a');
  const file = keys.file('agent:node-a');
  const open = (who: string) => () => new Keyring({ cert: file, key: file, ca: keys.ca }, identity(who));
  t.throws(open('proxy'), { code: 'bad-option', message: /is the certificate of agent:node-a, not of proxy/ });
  t.throws(open('agent:node-b'), { message: /not of agent:node-b/ });
  t.equal(open('agent').call(undefined).current().identity.name, 'node-a');
  const authority = await newAuthority();
  const own = join(t.testdir(), 'own.pem');
  writeFileSync(own, authority.certificate + authority.key, { mode: 0o600 });
  t.throws(() => new Keyring({ cert: own, key: own, ca: keys.ca }), { message: /names no role: .*holdfast:\/\/proxy/ });
  const good = await issue(authority, identity('proxy'), 1);
  writeFileSync(own, good);
  t.equal(new Keyring({ cert: own, key: own, ca: own }).current().identity.role, 'proxy');
});
