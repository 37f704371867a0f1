import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Audit, AuditEntry } from '../../proxy/audit/entry.js';
import { defaultProxyLimits } from '../../proxy/limits.js';
import { type HoldPolicy, type HoldRule, plainPolicy } from '../../proxy/policy/rules.js';
import type { Workload } from '../../proxy/workload.js';
import type { Clock } from '../../shim/link/index.js';
import { systemClock } from '../../shim/link/socket.js';
import { Gate, TestDriver, TestShim, until } from './gate.js';

const minute = 60_000;
const budgetMs = { call: 30 * minute, transaction: 20 * minute, idle: 5 * minute };
const alice = { user: 'alice', host: 'desk' };
const wanted = { workload: 'w' };

/** Keeps what is recorded. */
class Recorder implements Audit {
  readonly entries: AuditEntry[] = [];
  refusesNew = false;
  readonly state = { path: 'memory', isFailing: false, waitingBytes: 0, lostLines: 0 };
  record(entry: AuditEntry): void {
    this.entries.push(entry);
  }
  get events(): string[] {
    return this.entries.map(({ event }) => event);
  }
  last(event: string): AuditEntry | undefined {
    return this.entries.findLast((entry) => entry.event === event);
  }
}

/** A workload with one session that has said `x`, and what the audit log says of it. */
async function stage(t: Test, policy: HoldPolicy, clock = systemClock) {
  const audit = new Recorder();
  const proxy = await new Gate({ policy, audit, clock }).start();
  const app = await new TestShim(proxy).start();
  t.teardown(async () => {
    await app.stop();
    await proxy.stop();
  });
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  const [database] = proxy.databases;
  const [workload] = proxy.registry.workloads;
  if (database === undefined || workload === undefined) throw new Error('no session');
  const { registry } = proxy;
  const away = async () => {
    await app.dialer.detach();
    await until(() => registry.holdOf(workload) !== undefined);
  };
  const leftMs = () => Math.round((registry.holdOf(workload)?.untilMs ?? 0) - performance.now());
  return { audit, proxy, registry, app, driver, database, workload, away, leftMs };
}

const near = (t: Test, foundMs: number, wantedMs: number) => t.ok(Math.abs(foundMs - wantedMs) < 5_000, `${foundMs}`);
const plain = (changes: Partial<HoldRule> = {}) => plainPolicy({ budgetMs, ...changes });

t.test(
  'the budget follows what a held session does: an answer that arrives, a session that the database ends',
  async (t) => {
    const { database, registry, workload, away, leftMs } = await stage(t, plain());
    database.callsInFlight = 1;
    database.transaction = 'open';
    await away();
    near(t, leftMs(), budgetMs.call);
    database.callsInFlight = 0;
    database.say('answer');
    await until(() => registry.holdOf(workload)?.activity === 'transaction');
    near(t, leftMs(), budgetMs.transaction);
    database.die();
    await until(() => registry.holdOf(workload)?.activity === 'idle');
    near(t, leftMs(), budgetMs.idle);
  },
);

t.test('every step of a hold is in the audit log, with session and epoch', async (t) => {
  const { audit, database, registry, app, away } = await stage(t, plain({ owner: 'dba' }));
  database.transaction = 'open';
  await away();
  registry.extendHold(wanted, minute, randomUUID(), alice);
  registry.pinHold(wanted, 'pin', alice);
  registry.pinHold(wanted, 'unpin', alice);
  await app.dialer.attach();
  await app.dialer.stop();
  await until(() => registry.workloads.length === 0);
  t.strictSame(audit.events, ['bind', 'hold', 'extend', 'pin', 'unpin', 'bind', 'end']);
  const session = { stream: 1, transaction: 'open', callsInFlight: 0 };
  const common = { workload: 'w', instance: app.dialer.instance };
  t.match(audit.last('hold'), { epoch: 1, why: 'detached', rule: 'default', owner: 'dba', doing: 'transaction' });
  t.match(audit.last('hold'), { atEnd: 'close', until: /^\d{4}-.*Z$/, sessions: [session] });
  t.match(audit.last('extend'), { by: alice, byMs: minute, until: String });
  t.match(audit.last('pin'), { by: alice, isPinned: true, until: undefined });
  t.match(audit.last('bind'), { epoch: 2, address: '127.0.0.1', sessions: [session] });
  t.match(audit.last('end'), { epoch: 2, why: 'the shim was stopped', sessions: [session] });
  t.ok(audit.entries.every(({ workload }) => workload === common.workload));
});

t.test('a hold that runs out is recorded before its sessions end, and the late shim too', async (t) => {
  const short = { call: 1_500, transaction: 1_500, idle: 1_500 };
  const { audit, proxy, app, driver, away } = await stage(t, plain({ budgetMs: short, warnMs: [1_490] }));
  await away();
  await until(() => proxy.databases[0]?.destroyed === true);
  t.strictSame(audit.events, ['bind', 'hold', 'warn', 'expire']);
  t.match(audit.last('expire'), { epoch: 1, atEnd: 'close', sessions: [{ stream: 1 }] });
  await t.rejects(app.dialer.attach(), { code: 'refused-hold-expired' });
  t.match(audit.last('refuse'), { code: 'hold-expired', epoch: 1, workload: 'w', address: '127.0.0.1' });
  await driver.closed;
});

t.test('alert-and-keep: the sessions live on, and the application that comes back has them', async (t) => {
  const short = { call: 5, transaction: 5, idle: 5 };
  const kept = plain({ budgetMs: short, atEnd: 'alert-and-keep' });
  const { audit, registry, workload, app, driver, database, away } = await stage(t, kept);
  await away();
  await until(() => registry.holdOf(workload)?.kind === 'overdue');
  t.match(audit.last('alert'), { atEnd: 'alert-and-keep', sessions: [{ stream: 1 }] });
  database.say('still here');
  await app.dialer.attach();
  await until(() => driver.heard === 'still here');
  t.equal(database.destroyed, false);
});

t.test(
  'a released hold ends at once; its shim is told, its driver broken off, the next driver is served',
  async (t) => {
    const { audit, proxy, registry, app, driver, database, away } = await stage(t, plain());
    await away();
    t.match(registry.releaseHold(wanted, 'blocks others', alice), { workloads: 1, sessions: 1 });
    t.strictSame([database.destroyed, registry.workloads.length], [true, 0]);
    t.match(audit.last('release'), { by: alice, why: 'blocks others', sessions: [{ stream: 1 }] });
    t.match(registry.releaseHold(wanted, 'again', alice), { workloads: 0, sessions: 0 }, 'asked again, it is done');
    await t.rejects(app.dialer.attach(), {
      code: 'refused-unknown-workload',
      message: /an operator \(alice\) has ended/,
    });
    await driver.closed;
    await until(() => app.dialer.state.kind === 'bound');
    const next = new TestDriver(app.port);
    next.socket.write('fresh');
    await until(() => proxy.databases[1]?.text === 'fresh');
    next.socket.destroy();
  },
);

t.test('a request to extend counts once, however often it is asked for; another one counts again', async (t) => {
  const { audit, registry, away, leftMs } = await stage(t, plain());
  await away();
  const request = randomUUID();
  registry.extendHold(wanted, 60 * minute, request, alice);
  registry.extendHold(wanted, 60 * minute, request, alice);
  near(t, leftMs(), 65 * minute);
  for (let count = 0; count < defaultProxyLimits.extendRequestsMax; count += 1) {
    registry.extendHold(wanted, minute, randomUUID(), alice);
  }
  near(t, leftMs(), 129 * minute);
  t.equal(audit.events.filter((event) => event === 'extend').length, 65);
  registry.extendHold(wanted, 60 * minute, request, alice);
  near(t, leftMs(), 189 * minute);
  t.pass('one that is older than all that are remembered counts as new');
});

t.test('a pin outlives a bind: the next hold has no end either, until it is unpinned', async (t) => {
  const { registry, workload, app, away } = await stage(t, plain());
  registry.pinHold(wanted, 'pin', alice);
  await away();
  t.match(registry.holdOf(workload), { kind: 'pinned' });
  await app.dialer.attach();
  await away();
  t.match(registry.holdOf(workload), { kind: 'pinned' });
  registry.pinHold(wanted, 'unpin', alice);
  t.match(registry.holdOf(workload), { kind: 'running' });
});

t.test('a hold longer than the longest timer is not over at once', async (t) => {
  const month = 40 * 24 * 60 * minute;
  const timers: number[] = [];
  const after: Clock['after'] = (ms, call) => {
    timers.push(ms);
    return systemClock.after(ms, call);
  };
  const budgets = plain({ budgetMs: { call: month, transaction: month, idle: month } });
  const { proxy, away, leftMs } = await stage(t, budgets, { ...systemClock, after });
  await away();
  t.equal(Math.max(...timers), 2 ** 31 - 1, 'a longer timer of Node.js goes off at once');
  const short = await stage(t, plain({ budgetMs: { call: 20, transaction: 20, idle: 20 } }));
  await short.away();
  await until(() => short.registry.workloads.length === 0);
  near(t, leftMs(), month);
  t.equal(proxy.databases[0]?.destroyed, false);
});

t.test('what is asked of a workload that is not there, or not held, is refused with a code', async (t) => {
  const { registry } = await stage(t, plain());
  const unknown = { workload: 'nothing' };
  t.throws(() => registry.extendHold(unknown, 1, 'a', alice), { code: 'unknown-workload', source: 'operator' });
  t.throws(() => registry.pinHold({ ...wanted, instance: 'x' }, 'pin', alice), { code: 'unknown-workload' });
  t.throws(() => registry.extendHold(wanted, 1, 'a', alice), { code: 'not-held' });
  t.throws(() => registry.releaseHold(wanted, '', alice), { code: 'not-held' });
});

t.test('of a shim that was restarted, each life is held by itself, and can be meant by its instance', async (t) => {
  const { proxy, registry, workload, database, away } = await stage(t, plain());
  await away();
  const restarted = await new TestShim(proxy).start();
  t.teardown(() => restarted.stop());
  await restarted.dialer.attach();
  t.equal(registry.workloads.length, 2);
  const life: Workload | undefined = registry.workloads.find(({ instance }) => instance !== workload.instance);
  t.throws(() => registry.releaseHold({ ...wanted, instance: life?.instance }, '', alice), { code: 'not-held' });
  t.match(registry.releaseHold(wanted, '', alice), { workloads: 1 }, 'without it, all those that are held');
  t.equal(database.destroyed, true);
  t.match(registry.workloads, [{ instance: life?.instance }]);
});

t.test('a session that the database ends is recorded with its error, whether it is held or not', async (t) => {
  const { audit, app, database, away } = await stage(t, plain());
  await away();
  database.die();
  t.match(audit.last('lost'), { code: 'database-ended', epoch: 1, sessions: [{ stream: 1 }] });
  await app.dialer.attach();
  t.strictSame(audit.last('bind')?.sessions, [], 'and named no more');
});

t.test('a session that ends because the rules of the link were broken has a line, with the code', async (t) => {
  const { audit, app, driver, database } = await stage(t, plain());
  const data = Buffer.alloc(25);
  data.writeUInt8(2, 0);
  data.writeUIntBE(1, 1, 3);
  data.writeUInt32BE(1, 4);
  data.writeBigUInt64BE(50n, 8);
  app.wires.at(-1)?.write(data);
  await driver.closed;
  t.match(audit.last('lost'), { code: 'gap', sessions: [{ stream: 1 }] });
  t.equal(database.destroyed, true);
});
