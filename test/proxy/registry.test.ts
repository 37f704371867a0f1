import net from 'node:net';
import t, { type Test } from 'tap';
import { plainPolicy } from '../../proxy/policy/rules.js';
import { decodeRejected, decodeResume, type Epoch, encodeRejected, encodeResume } from '../../shim/link/index.js';
import { Gate, type GateOptions, type MemoryDatabase, portOf, TestDriver, TestShim, until } from './gate.js';

async function gate(t: Test, options?: GateOptions): Promise<Gate> {
  const made = await new Gate(options).start();
  t.teardown(() => made.stop());
  return made;
}

async function shim(
  t: Test,
  target: { port: number },
  options?: ConstructorParameters<typeof TestShim>[1],
): Promise<TestShim> {
  const made = await new TestShim(target, options).start();
  t.teardown(() => made.stop());
  return made;
}

interface Talk {
  readonly proxy: Gate;
  readonly app: TestShim;
  readonly driver: TestDriver;
  readonly database: MemoryDatabase;
}

/** A proxy, a bound shim and a driver that has said `x`. */
async function talk(t: Test, options?: GateOptions): Promise<Talk> {
  const proxy = await gate(t, options);
  const app = await shim(t, proxy, options?.linkLimits === undefined ? {} : { linkLimits: options.linkLimits });
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  const [database] = proxy.databases;
  if (database === undefined) throw new Error('no session');
  return { proxy, app, driver, database };
}

t.test('bytes cross in both directions, and half-close is passed on', async (t) => {
  const { app, driver, database } = await talk(t);
  database.say('rows');
  await until(() => driver.heard === 'rows');
  driver.socket.end();
  t.equal(await driver.closed, 'closed');
  t.equal(database.ended, true);
  await until(() => app.dialer.link.streamCount === 0);
});

t.test('a cut link is bound again by itself, and what was said meanwhile arrives', async (t) => {
  const { proxy, app, driver, database } = await talk(t);
  app.cut();
  driver.socket.write('two');
  database.say('answer');
  await until(() => database.text === 'xtwo' && driver.heard === 'answer');
  t.equal(app.dialer.epoch, 2);
  t.equal(proxy.databases.length, 1, 'the database saw one session');
});

t.test('detach keeps driver and database connected; attach takes them up where they were', async (t) => {
  const { proxy, app, driver, database } = await talk(t);
  await app.dialer.detach();
  await until(() => proxy.registry.workloads[0]?.state.kind === 'held');
  t.match(proxy.registry.workloads[0]?.state, { kind: 'held', why: 'detached' });
  driver.socket.write('during');
  database.say('late answer');
  const attached = await app.dialer.attach({ localAddress: '127.0.0.9' });
  t.match(attached, { epoch: 2, streams: 1, address: '127.0.0.9' });
  await until(() => database.text === 'xduring' && driver.heard === 'late answer');
  t.match(proxy.registry.workloads[0]?.state, { kind: 'bound', attachment: { address: '127.0.0.9' } });
  app.cut();
  await until(() => app.dialer.epoch === 3);
  t.match(app.dialer.lastBind, { address: '127.0.0.9' }, 'a reconnect keeps the address');
  await app.dialer.detach();
  t.match(await app.dialer.attach(), { epoch: 4, address: '127.0.0.1' }, 'the next attach does not');
});

t.test('a slow driver stops the database, a slow database stops the driver, and both go on', async (t) => {
  const linkLimits = { windowBytes: 10_000 };
  const proxy = await gate(t, { linkLimits });
  const app = await shim(t, proxy, { linkLimits });
  await app.dialer.attach();
  await app.dialer.detach();
  const driver = new TestDriver(app.port);
  await app.dialer.attach();
  await until(() => proxy.databases.length === 1);
  const [database] = proxy.databases;
  if (database === undefined) throw new Error('no session');
  await app.dialer.detach();
  await until(() => proxy.registry.workloads[0]?.state.kind === 'held');
  let said = 0;
  for (; !database.paused && said < 100; said += 1) database.say(Buffer.alloc(1_000, 'x'));
  t.equal(said, 10, 'the database was stopped at the window');
  await app.dialer.attach();
  await until(() => !database.paused && driver.heard.length === 10_000);

  database.reads = false;
  driver.socket.write(Buffer.alloc(5_000_000));
  await until(() => Buffer.concat(database.heard).length === 10_000);
  t.ok(driver.socket.writableLength > 0, 'the driver is stopped by its own kernel');
  database.reads = true;
  database.events.consumed(10_000);
  await until(() => Buffer.concat(database.heard).length === 5_000_000);
});

t.test('the database ending a session ends the driver connection, after the last bytes', async (t) => {
  const { proxy, app, driver, database } = await talk(t);
  database.say('ORA-00028');
  database.events.closed(undefined);
  await driver.closed;
  t.equal(driver.heard, 'ORA-00028');
  await until(() => app.dialer.link.streamCount === 0 && proxy.registry.workloads[0]?.sessions().length === 0);
});

t.test('a driver that breaks off ends its database session, also while the link is away', async (t) => {
  const { proxy, app, driver, database } = await talk(t);
  await app.dialer.detach();
  driver.socket.resetAndDestroy();
  await driver.closed;
  await app.dialer.attach();
  await until(() => database.destroyed === true || database.ended === true);
  await until(() => app.dialer.link.streamCount === 0);
  t.equal(proxy.registry.workloads[0]?.sessions().length, 0);
});

t.test(
  'a hold that runs out ends the sessions; the shim learns it, its driver is broken off, new drivers are served',
  async (t) => {
    const proxy = await gate(t, { policy: plainPolicy({ budgetMs: { idle: 20, call: 20, transaction: 20 } }) });
    const app = await shim(t, proxy);
    await app.dialer.attach();
    const driver = new TestDriver(app.port);
    driver.socket.write('x');
    await until(() => proxy.databases[0]?.text === 'x');
    await app.dialer.detach();
    await until(() => proxy.databases[0]?.destroyed === true);
    t.equal(proxy.registry.workloads.length, 0);
    await t.rejects(app.dialer.attach(), { code: 'refused-hold-expired', source: 'proxy' });
    await driver.closed;
    await until(() => app.dialer.state.kind === 'bound');
    const next = new TestDriver(app.port);
    next.socket.write('fresh');
    await until(() => proxy.databases[1]?.text === 'fresh');
    next.socket.destroy();
  },
);

t.test('the hold of an open transaction lasts as long as its own budget', async (t) => {
  const policy = plainPolicy({ budgetMs: { idle: 1_000, call: 1_000, transaction: 50_000 } });
  const { proxy, app, database } = await talk(t, { policy });
  database.transaction = 'open';
  await app.dialer.detach();
  await until(() => proxy.registry.workloads[0]?.state.kind === 'held');
  const [workload] = proxy.registry.workloads;
  const hold = workload && proxy.registry.holdOf(workload);
  t.equal(hold && hold.untilMs - hold.beganMs, 50_000);
  await app.dialer.attach();
  t.equal(workload && proxy.registry.holdOf(workload), undefined, 'a bind ends the hold');
});

t.test('of two copies of one image that bind, the second is refused and the first goes on', async (t) => {
  const { proxy, app, driver, database } = await talk(t);
  await app.dialer.detach();
  await app.dialer.attach();
  // What the second copy says is to the letter what the first one said.
  const copy = net.connect(proxy.port, '127.0.0.1');
  copy.write(app.resumes[1] ?? '');
  const answer: Buffer[] = [];
  copy.on('data', (chunk) => answer.push(chunk));
  await new Promise((resolve) => copy.once('close', resolve));
  t.match(decodeRejected(Buffer.concat(answer).subarray(24)), { verdict: 'stale-epoch' });
  driver.socket.write('b');
  await until(() => database.text === 'xb');
  t.equal(app.dialer.state.kind, 'bound');
});

t.test('a bind is exclusive: what the fenced connection still sends reaches nothing', async (t) => {
  const { proxy, app, driver, database } = await talk(t);
  const [former] = app.wires;
  // The former connection stays open at the shim's end, as one does behind a network that has gone silent.
  former?.removeAllListeners('close');
  const resume = app.resumes[0] ?? Buffer.alloc(0);
  const taken = app.dialer.link.account();
  const copy = net.connect(proxy.port, '127.0.0.1');
  copy.write(
    encodeResume({
      ...decodeResume(resume.subarray(24)),
      epoch: 1 as Epoch,
      token: app.token,
      attempt: 2,
      ...taken,
    }),
  );
  await until(() => proxy.registry.workloads[0]?.epoch === 2);
  driver.socket.write('b');
  await new Promise((resolve) => former?.once('close', resolve));
  t.equal(database.text, 'x');
  copy.destroy();
});

t.test('before CONFIRM not a byte reaches the database: the bind may still be superseded', async (t) => {
  const proxy = await gate(t);
  const app = await shim(t, proxy);
  await app.dialer.attach();
  await app.dialer.stop();
  const early = net.connect(proxy.port, '127.0.0.1');
  const closed = new Promise((resolve) => early.once('close', resolve));
  const resume = { ...decodeResume((app.resumes[0] ?? Buffer.alloc(0)).subarray(24)), instance: 'another' };
  const open = Buffer.alloc(24);
  open.writeUInt8(1, 0);
  open.writeUInt32BE(1, 4);
  early.write(Buffer.concat([encodeResume(resume), open]));
  early.resume();
  await closed;
  t.equal(proxy.databases.length, 0);
  t.match(proxy.registry.workloads[0]?.state, { kind: 'held' });
});

t.test('a shim of another version is told to come again, and with which version', async (t) => {
  const proxy = await gate(t);
  const app = await shim(t, proxy);
  await app.dialer.attach();
  const other = net.connect(proxy.port, '127.0.0.1');
  const answer: Buffer[] = [];
  other.on('data', (chunk) => answer.push(chunk));
  other.write(encodeResume({ ...decodeResume((app.resumes[0] ?? Buffer.alloc(0)).subarray(24)), version: 2 }));
  await new Promise((resolve) => other.once('close', resolve));
  t.match(decodeRejected(Buffer.concat(answer).subarray(24)), { verdict: 'try-later', version: 1 });
});

t.test(
  'a proxy of another version costs a shim nothing: it keeps its drivers and what they said, and comes again',
  async (t) => {
    const newer = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.write(
          encodeRejected({ version: 2, verdict: 'try-later', reason: 'version 1 is not spoken', retryAfterMs: 1 }),
        ),
      );
    });
    await new Promise<void>((resolve) => newer.listen(0, '127.0.0.1', resolve));
    t.teardown(() => newer.close());
    const app = await shim(t, { port: portOf(newer) });
    const driver = new TestDriver(app.port);
    driver.socket.write('early');
    app.dialer.attach().catch(() => undefined);
    await until(() => app.resumes.length > 2);
    const proxy = await gate(t);
    await app.dialer.attach({ port: proxy.port });
    await until(() => proxy.databases[0]?.text === 'early');
    t.equal(app.dialer.epoch, 1);
  },
);

t.test('a shim that is refused for good breaks its drivers off and turns new ones away', async (t) => {
  for (const verdict of ['stale-epoch', 'peer-rewound', 'not-authorised'] as const) {
    const refuser = net.createServer((socket) => {
      socket.end(encodeRejected({ version: 1, verdict, reason: 'because', retryAfterMs: 0 }));
    });
    await new Promise<void>((resolve) => refuser.listen(0, '127.0.0.1', resolve));
    const app = await shim(t, { port: portOf(refuser) });
    const driver = new TestDriver(app.port);
    await until(() => app.dialer.link.streamCount === 1);
    await t.rejects(app.dialer.attach(), { code: `refused-${verdict}` });
    await driver.closed;
    await new TestDriver(app.port).closed;
    t.match(app.dialer.state, { kind: 'refused', verdict });
    refuser.close();
  }
});

t.test('a restarted proxy knows nothing: the shim is told, its drivers too, and it begins afresh', async (t) => {
  const former = await gate(t);
  const app = await shim(t, former);
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => former.databases[0]?.text === 'x');
  await app.dialer.detach();
  const next = await gate(t);
  await t.rejects(app.dialer.attach({ port: next.port }), { code: 'refused-unknown-workload' });
  await driver.closed;
  await until(() => app.dialer.state.kind === 'bound');
});

t.test('a proxy that stops in order says so, and the drivers hear of it at once', async (t) => {
  const proxy = await new Gate().start();
  const app = await shim(t, proxy);
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  await proxy.stop();
  await driver.closed;
  t.equal(proxy.databases[0]?.destroyed, true);
});

t.test('a shim that stops in order ends its sessions at once', async (t) => {
  const proxy = await gate(t);
  const app = await new TestShim(proxy).start();
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  await app.stop();
  await until(() => proxy.databases[0]?.destroyed === true && proxy.registry.workloads.length === 0);
  t.equal(await driver.closed, 'closed');
});

t.test('a workload beyond the limit is told to try later, and binds when there is room', async (t) => {
  const proxy = await gate(t, { limits: { workloadsMax: 1, tryLaterMs: 10 } });
  const first = await new TestShim(proxy, { workload: 'one' }).start();
  await first.dialer.attach();
  const second = await shim(t, proxy, { workload: 'two' });
  const attaching = second.dialer.attach();
  await until(() => second.dialer.state.kind === 'waiting');
  await first.stop();
  t.match(await attaching, { epoch: 1 });
});

t.test('instances of one workload have a limit of their own: whoever has its key cannot keep others out', async (t) => {
  const proxy = await gate(t, { limits: { instancesPerWorkloadMax: 1, tryLaterMs: 10 } });
  const first = await new TestShim(proxy, { workload: 'one' }).start();
  await first.dialer.attach();
  const again = await shim(t, proxy, { workload: 'one' });
  const attaching = again.dialer.attach();
  await until(() => again.dialer.state.kind === 'waiting');
  const other = await shim(t, proxy, { workload: 'two' });
  t.match(await other.dialer.attach(), { epoch: 1 });
  await first.stop();
  t.match(await attaching, { epoch: 1 });
});

t.test('links beyond the limit of unfinished handshakes are closed, and one that never finishes is too', async (t) => {
  const proxy = await gate(t, { limits: { handshakesMax: 1 }, linkLimits: { handshakeMs: 50 } });
  const idle = net.connect(proxy.port, '127.0.0.1');
  const startedMs = performance.now();
  const idleClosed = new Promise<number>((resolve) => idle.once('close', () => resolve(performance.now() - startedMs)));
  await new Promise((resolve) => idle.once('connect', resolve));
  const second = net.connect(proxy.port, '127.0.0.1');
  await new Promise((resolve) => second.once('close', resolve));
  t.ok((await idleClosed) >= 45, 'the idle one had its time');
  const app = await shim(t, proxy);
  t.match(await app.dialer.attach(), { epoch: 1 }, 'there is room again');
});

t.test('a driver is turned away when there has been no link for too long, and while refused', async (t) => {
  const nobody = net.createServer();
  await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
  const port = portOf(nobody);
  await new Promise((resolve) => nobody.close(resolve));
  const app = await shim(t, { port }, { connectWaitMs: 0 });
  app.dialer.attach().catch(() => undefined);
  const driver = new TestDriver(app.port);
  await driver.closed;
  t.equal(app.dialer.link.streamCount, 0);
});

t.test('limit of streams: one driver more is turned away, the others stay', async (t) => {
  const proxy = await gate(t);
  const app = await shim(t, proxy, { linkLimits: { streamsMax: 1 } });
  await app.dialer.attach();
  const first = new TestDriver(app.port);
  first.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  await new TestDriver(app.port).closed;
  first.socket.write('y');
  await until(() => proxy.databases[0]?.text === 'xy');
  t.equal(proxy.databases.length, 1);
});

t.test(
  'beyond its memory a held workload is not read from its databases; bound again it gets everything',
  async (t) => {
    const { proxy, app, driver, database } = await talk(t, { limits: { workloadBytesMax: 5_000 } });
    const { fromDatabases, fromShims } = proxy.registry.memory;
    await app.dialer.detach();
    await until(() => proxy.registry.workloads[0]?.state.kind === 'held');
    let said = 0;
    for (; !database.paused && said < 100; said += 1) database.say(Buffer.alloc(1_000, 'x'));
    t.match({ said, kept: fromDatabases.bytes }, { said: 5, kept: 5_000 });
    await app.dialer.attach();
    await until(() => driver.heard.length === 5_000 && !database.paused);
    await until(() => fromDatabases.bytes === 0);
    t.equal(fromShims.bytes, 0);
  },
);

t.test(
  'a database that does not read stops the link at the memory of its workload, and what waits arrives',
  async (t) => {
    const limits = { workloadBytesMax: 100_000, trickleMs: 60_000 };
    const { proxy, driver, database } = await talk(t, { limits });
    const { fromShims } = proxy.registry.memory;
    const bytes = 5_000_000;
    const received = () => database.heard.reduce((sum, { length }) => sum + length, 0);
    database.reads = false;
    driver.socket.write(Buffer.alloc(bytes));
    await until(() => fromShims.bytes >= limits.workloadBytesMax);
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    t.ok(fromShims.bytes <= limits.workloadBytesMax + 2 * 64 * 1024, `${fromShims.bytes} bytes wait`);
    database.reads = true;
    database.events.consumed(received());
    await until(() => received() === bytes + 1);
    await until(() => fromShims.bytes === 0);
    t.pass();
  },
);

t.test('links beyond the rate are told when to come, and bind then', async (t) => {
  const proxy = await gate(t, { limits: { bindsPerSecond: 4, bindsAtOnce: 1, tryLaterMs: 60_000 } });
  const shims = await Promise.all(['a', 'b', 'c'].map((workload) => shim(t, proxy, { workload })));
  const beganMs = performance.now();
  const attached = await Promise.all(shims.map(({ dialer }) => dialer.attach()));
  t.ok(performance.now() - beganMs >= 495, 'two appointments, 250 ms apart');
  t.ok(attached.every(({ epoch }) => epoch === 1));
  t.strictSame(shims.map(({ wires }) => wires.length).sort(), [1, 2, 2], 'nobody came twice for nothing');
});
