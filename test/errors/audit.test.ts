import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { AuditEntry } from '../../proxy/audit/entry.js';
import { errorCode } from '../../shim/program/errors.js';
import { makeKeys } from '../shim/program/certificates.js';
import { held } from './held.js';
import { directory, logOf, rejection } from './parts.js';

/** The audit log of a real proxy, and what becomes of everybody when its disk is full. */

type Line = AuditEntry & { readonly at: string; readonly n: number };

function linesOf(path: string): Line[] {
  const text = readFileSync(path, 'utf8');
  if (!text.endsWith('\n')) throw new Error(`a torn line: ${text.slice(-80)}`);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** Looks until there is something; the disk announces nothing. */
async function seen<T>(look: () => T | undefined): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error('not seen in time');
    await setTimeout(10);
  }
}
/** A line that is written sooner or later. What is there of the file may be half a line at the moment. */
const lineOf = (path: string, event: AuditEntry['event'], workload = 'orders') =>
  seen(() => {
    if (!existsSync(path) || !readFileSync(path, 'utf8').endsWith('\n')) return undefined;
    return linesOf(path).find((line) => line.event === event && line.workload === workload);
  });

t.test('who did what to which session, and when, and nothing of what the application said', async (t) => {
  const path = join(directory(t), 'audit.log');
  const stage = await held(t, { proxy: ['--audit-log', path, '--hold-owner', 'dba', '--hold-transaction', '2s'] });
  const connection = await stage.connect();
  await connection.execute('CREATE TABLE planted_name (id NUMBER, word VARCHAR2(40))');
  await connection.execute("INSERT INTO planted_name VALUES (1, 'planted literal')");
  await connection.execute('INSERT INTO planted_name VALUES (:1, :2)', [2, 'planted bind']);
  // Pinned before it is held: the machine may be too slow to do it in the two seconds of the budget.
  await stage.holdfast('hold', 'pin', 'orders');
  await stage.detach();
  renameSync(path, `${path}.1`);
  stage.proxy.child.kill('SIGHUP');
  await stage.proxy.printed(/opened anew/);
  await stage.holdfast('hold', 'unpin', 'orders');
  await lineOf(path, 'expire');
  t.match(await rejection(stage.attach() as Promise<unknown>), { code: 'refused-hold-expired' });
  t.match(await rejection(connection.commit()), { isRecoverable: true });
  await stage.shim.printed(/"bound"(.|\n)*"bound"/);
  await stage.shim.stop();
  await stage.proxy.stop();

  const lines = [...linesOf(`${path}.1`), ...linesOf(path)];
  t.strictSame(
    lines.map(({ n, event }) => `${n} ${event}`),
    ['start', 'bind', 'pin', 'hold', 'unpin', 'expire', 'refuse', 'bind', 'end', 'stop'].map(
      (event, index) => `${index + 1} ${event}`,
    ),
  );
  const session = { stream: 1, user: 'app', service: 'orders', sid: Number, serial: Number, transaction: 'open' };
  const expired = lines.find(({ event }) => event === 'expire');
  t.match(expired, { workload: 'orders', instance: String, epoch: 1, rule: 'default', owner: 'dba', atEnd: 'close' });
  t.match(expired?.sessions, [session]);
  t.match(
    lines.find(({ event }) => event === 'pin'),
    { by: { user: String, host: String, peer: 'a peer trusted by plaintext' } },
  );
  t.match(
    lines.find(({ event }) => event === 'hold'),
    { isPinned: true, until: undefined, sessions: [session] },
  );
  t.match(
    lines.find(({ event }) => event === 'refuse'),
    { code: 'hold-expired', address: '127.0.0.1', epoch: 1 },
  );
  t.equal(statSync(path).mode & 0o777 & 0o027, 0, 'not for everybody to read');
  t.notMatch(readFileSync(path, 'utf8') + readFileSync(`${path}.1`, 'utf8'), /planted|INSERT/i);
});

t.test('with certificates the audit log says who it was, as proved and not as told', async (t) => {
  const path = join(directory(t), 'audit.log');
  const keys = await makeKeys(t, 'proxy', 'operator:alice', 'workload:orders');
  const asAlice = (who: string) => keys.flags(who === 'operator' ? 'operator:alice' : who);
  const stage = await held(t, { proxy: ['--audit-log', path], protection: asAlice });
  t.match((await lineOf(path, 'bind')).by, { peer: 'workload:orders' });
  await stage.holdfast('hold', 'pin', 'orders');
  t.match((await lineOf(path, 'pin')).by, { user: String, host: String, peer: 'operator:alice' });
  await stage.detach();
  await stage.holdfast('hold', 'release', 'orders');
  t.match((await lineOf(path, 'release')).by, { peer: 'operator:alice' });
  await rejection(stage.attach() as Promise<unknown>);
  t.match(await lineOf(path, 'refuse'), { code: 'unknown-workload', by: { peer: 'workload:orders' } });
});

const isRoot = process.getuid?.() === 0;

const bindsOnFullDisk = 40;

/** A proxy whose audit log is on a disk of its own, of 64 KiB, that the test can fill and clear. Needs root. */
async function onSmallDisk(t: Test, ...words: readonly string[]) {
  const disk = join(directory(t), 'disk');
  mkdirSync(disk);
  const stage = await held(t, {
    proxy: ['--audit-log', join(disk, 'audit.log'), ...words],
    around: ({ file, args }) => {
      const script = `mount -t tmpfs -o size=64k audit ${disk} && exec "$@"`;
      return { file: 'unshare', args: ['--mount', 'sh', '-c', script, 'sh', file, ...args] };
    },
  });
  // Its mount namespace is its own; this is the way into it.
  const inside = `/proc/${stage.proxy.child.pid}/root${disk}`;
  const filler = join(inside, 'filler');
  const path = join(inside, 'audit.log');
  const fill = async () => {
    await lineOf(path, 'bind');
    for (const bytes of [4096, 64, 1]) fillWith(filler, bytes);
    // The rest of the file's last page takes the first lines: one of them is torn when it is full.
    for (let count = 0; count < bindsOnFullDisk; count += 1) {
      await stage.detach();
      await stage.attach();
    }
    await stage.proxy.printed(/audit-failed/);
  };
  return { ...stage, path, fill, clear: () => rmSync(filler) };
}

function fillWith(file: string, bytes: number): void {
  try {
    for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: 'a' });
  } catch (error) {
    if (errorCode(error) !== 'ENOSPC') throw error;
  }
}

t.test('disk full, --audit-on-failure continue: everybody goes on, loudly; no line is lost or torn', async (t) => {
  if (!isRoot) {
    t.pass('a disk of its own needs root; test/proxy/audit/log.test.ts has /dev/full');
    return;
  }
  const stage = await onSmallDisk(t);
  const connection = await stage.connect();
  await stage.fill();
  t.match(
    logOf(stage.proxy).find(({ code }) => code === 'audit-failed'),
    { level: 50, onFailure: 'continue', failures: 1, err: { message: /ENOSPC/ } },
  );
  t.match(await stage.holdfast('holds'), { code: 0, stderr: /^holdfast holds: audit-failed: .* bytes wait, 0 lines / });
  t.same((await connection.execute('SELECT 1 FROM dual')).rows, [[1]]);
  await stage.otherShim('another').printed(/"bound"/);
  stage.clear();
  await stage.proxy.printed(/audit log is written again/);
  await lineOf(stage.path, 'bind', 'another');
  const lines = linesOf(stage.path);
  t.strictSame(
    lines.map(({ n }) => n),
    lines.map((_line, index) => index + 1),
  );
  t.equal(lines.filter(({ event }) => event === 'hold').length, bindsOnFullDisk);
  t.match(lines.at(-1), { event: 'bind', workload: 'another' });
  await connection.close();
});

t.test('disk full, --audit-on-failure refuse: no new application begins, running sessions go on', async (t) => {
  if (!isRoot) {
    t.pass('a disk of its own needs root; test/proxy/audit/log.test.ts has /dev/full');
    return;
  }
  const stage = await onSmallDisk(t, '--audit-on-failure', 'refuse');
  const connection = await stage.connect();
  await stage.fill();
  const other = stage.otherShim('another');
  await stage.proxy.printed(/the audit log of the proxy cannot be written/);
  t.same((await connection.execute('SELECT 1 FROM dual')).rows, [[1]], 'a call');
  const second = await stage.connect();
  t.same((await second.execute('SELECT 1 FROM dual')).rows, [[1]], 'a new session of an application that is there');
  t.notMatch(other.stderr, /"bound"/);
  // The last line of the old file is torn: the disk was full in the middle of it.
  renameSync(stage.path, `${stage.path}.1`);
  stage.proxy.child.kill('SIGHUP');
  await stage.proxy.printed(/opened anew/);
  stage.clear();
  await other.printed(/"bound"/);
  t.pass('it waited and came again by itself');
  await lineOf(stage.path, 'bind', 'another');
  const [torn = '', ...whole] = readFileSync(`${stage.path}.1`, 'utf8').split('\n').toReversed();
  t.not(torn, '');
  const numbers = [...whole.toReversed().map((line) => JSON.parse(line)), ...linesOf(stage.path)].map(({ n }) => n);
  t.strictSame(
    numbers,
    numbers.map((_line, index) => index + 1),
    'that line is whole in the new file, and none is missing',
  );
  await second.close();
  await connection.close();
});
