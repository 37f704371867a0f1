import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import t, { type Test } from 'tap';
import { type AuditLimits, auditSessionsMax, defaultAuditLimits } from '../../../proxy/audit/limits.js';
import { AuditLog } from '../../../proxy/audit/log.js';
import { auditSessions } from '../../../proxy/audit/subject.js';
import type { WorkloadSession } from '../../../proxy/workload.js';
import { MemoryDatabase, until } from '../gate.js';

interface Options {
  readonly path?: string;
  readonly onFailure?: 'refuse' | 'continue';
  readonly limits?: Partial<AuditLimits>;
}

async function open(t: Test, options: Options = {}) {
  const path = options.path ?? join(t.testdir(), 'audit.log');
  const told: Record<string, unknown>[] = [];
  const log: Logger = pino({ base: null }, { write: (line) => told.push(JSON.parse(line)) });
  const limits = { ...defaultAuditLimits, retryMs: 5, ...options.limits };
  const audit = await AuditLog.open({ path, onFailure: options.onFailure ?? 'continue', limits, log });
  return { audit, path, told };
}

const linesOf = (path: string): Record<string, unknown>[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** The disk in which nothing fits, until it is cleared. */
function fullDisk(t: Test) {
  const path = join(t.testdir({ real: '' }), 'audit.log');
  symlinkSync('/dev/full', path);
  const clear = () => {
    rmSync(path);
    symlinkSync(join(path, '../real'), path);
  };
  return { path, clear };
}

t.test('what is recorded is in the file in order, numbered, with the time, one object a line', async (t) => {
  const { audit, path } = await open(t);
  audit.record({ event: 'start' });
  audit.record({ event: 'bind', workload: 'line\nbreak', epoch: 1 });
  t.equal(readFileSync(path, 'utf8'), '', 'nobody waits for the disk');
  await until(() => audit.state.waitingBytes === 0);
  audit.record({ event: 'stop' });
  await audit.close();
  t.match(linesOf(path), [
    { n: 1, event: 'start', at: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/ },
    { n: 2, event: 'bind', workload: 'line\nbreak' },
    { n: 3, event: 'stop' },
  ]);
});

t.test('it is appended to: what was there before stays', async (t) => {
  const path = join(t.testdir({ 'audit.log': '{"n":9}\n' }), 'audit.log');
  const { audit } = await open(t, { path });
  audit.record({ event: 'start' });
  await audit.close();
  t.match(linesOf(path), [{ n: 9 }, { n: 1, event: 'start' }]);
});

t.test('a file that is moved away and opened anew loses nothing and tears no line', async (t) => {
  const { audit, path } = await open(t);
  const total = 2_000;
  for (let count = 0; count < total; count += 1) {
    audit.record({ event: 'bind', workload: `w${count}` });
    if (count === total / 2) {
      await until(() => readFileSync(path).length > 0);
      renameSync(path, `${path}.1`);
      audit.reopen();
    }
    if (count % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await audit.close();
  const [old, fresh] = [linesOf(`${path}.1`), linesOf(path)];
  t.ok(old.length > 0 && fresh.length > 0, `${old.length} and ${fresh.length} lines`);
  t.strictSame(
    [...old, ...fresh].map(({ n }) => n),
    Array.from({ length: total }, (_, index) => index + 1),
  );
});

t.test('a full disk is told loudly, with a counter, and again more and more rarely', async (t) => {
  const { path } = fullDisk(t);
  const { audit, told } = await open(t, { path });
  audit.record({ event: 'start' });
  await until(() => told.length >= 3);
  t.match(
    told,
    [1, 2, 4].map((failures) => ({ code: 'audit-failed', level: 50, failures, path, lostLines: 0 })),
  );
  t.match(audit.state, { isFailing: true, lostLines: 0 });
  t.ok(audit.state.waitingBytes > 0);
  await audit.close();
  t.match(told.at(-1), { code: 'audit-lost', level: 50, msg: 'the audit log is not whole' });
});

t.test('continue lets unknown workloads begin while nothing can be written, refuse does not', async (t) => {
  for (const onFailure of ['continue', 'refuse'] as const) {
    const { path, clear } = fullDisk(t);
    const { audit } = await open(t, { path, onFailure });
    t.equal(audit.refusesNew, false, 'nothing has failed yet');
    audit.record({ event: 'start' });
    await until(() => audit.state.isFailing);
    t.equal(audit.refusesNew, onFailure === 'refuse');
    clear();
    audit.reopen();
    await until(() => !audit.state.isFailing);
    t.equal(audit.refusesNew, false);
    await audit.close();
    t.match(linesOf(path), [{ n: 1, event: 'start' }], 'what had to wait is there');
  }
});

t.test('lines beyond the limit are lost, and the file says how many when it can be written again', async (t) => {
  const { path, clear } = fullDisk(t);
  const { audit, told } = await open(t, { path, limits: { waitingBytesMax: 300 } });
  for (let count = 0; count < 10; count += 1) audit.record({ event: 'bind', workload: 'w'.repeat(20) });
  await until(() => audit.state.isFailing);
  const { lostLines, waitingBytes } = audit.state;
  t.ok(lostLines > 0 && waitingBytes <= 300, `${lostLines} lost, ${waitingBytes} bytes wait`);
  t.equal(told.filter(({ code }) => code === 'audit-lost').length, 1);
  clear();
  audit.reopen();
  await until(() => audit.state.waitingBytes === 0);
  await audit.close();
  const lines = linesOf(path);
  t.equal(lines.length, 10 - lostLines + 1);
  t.match(lines.at(-1), { event: 'gap', lostLines, n: 11 });
  t.equal(audit.state.lostLines, 0);
});

t.test('a pipe or a terminal, which cannot be flushed, is written to all the same', async (t) => {
  const { audit, told } = await open(t, { path: '/dev/null' });
  audit.record({ event: 'start' });
  await audit.close();
  t.strictSame(told, []);
});

t.test('a place where no file can be is wrong use, said at the start', async (t) => {
  const directory = t.testdir();
  for (const path of [directory, join(directory, 'none/audit.log')]) {
    await t.rejects(open(t, { path }), {
      code: 'bad-option',
      message: /^--audit-log: .* cannot be written: E(ISDIR|NOENT)/,
    });
  }
});

t.test('a line names at most so many sessions, and says how many there are', async (t) => {
  const events = { data: () => {}, consumed: () => {}, end: () => {}, closed: () => {} };
  const view = new MemoryDatabase(events).describe();
  const sessions = Array.from({ length: auditSessionsMax + 1 }, (_, index) => ({ stream: index + 1, view }));
  const cut = auditSessions(sessions as unknown as WorkloadSession[]);
  t.equal(cut.sessions?.length, auditSessionsMax);
  t.equal(cut.sessionsTotal, auditSessionsMax + 1);
  t.equal(auditSessions([]).sessionsTotal, undefined);
});

t.test('a file that somebody else writes to keeps whole lines', async (t) => {
  const { audit, path } = await open(t);
  audit.record({ event: 'start' });
  await until(() => audit.state.waitingBytes === 0);
  writeFileSync(path, '{"n":0}\n', { flag: 'a' });
  audit.record({ event: 'stop' });
  await audit.close();
  t.strictSame(
    linesOf(path).map(({ n }) => n),
    [1, 0, 2],
  );
});

t.test(
  'several workers write to one file: lines stay whole, each counts its own, and none is lost when it is rotated',
  async (t) => {
    const path = join(t.testdir(), 'audit.log');
    const log: Logger = pino({ level: 'silent' });
    const open = (slot: number) =>
      AuditLog.open({ path, onFailure: 'continue', limits: defaultAuditLimits, log, slot });
    const logs = await Promise.all([0, 1, 2].map(open));
    const rounds = 200;
    for (let round = 0; round < rounds; round++) {
      for (const audit of logs) audit.record({ event: 'bind', workload: 'w'.repeat(round) });
      if (round === rounds / 2) {
        renameSync(path, `${path}.1`);
        for (const audit of logs) audit.reopen();
      }
      await new Promise(setImmediate);
    }
    await Promise.all(logs.map((audit) => audit.close()));
    const lines = [...linesOf(`${path}.1`), ...linesOf(path)];
    const numbers = Array.from({ length: rounds }, (_, index) => index + 1);
    for (const slot of [0, 1, 2]) {
      t.strictSame(
        lines.filter(({ worker }) => worker === slot).map(({ n }) => n),
        numbers,
        `worker ${slot}`,
      );
    }
  },
);
