/** One registry is abandoned in mid-sentence, and another goes on from its journal and its sockets. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { type AuditEntry, noAudit } from '../../../proxy/audit/entry.js';
import { strictReading } from '../../../proxy/backend/dial.js';
import { defaultBackendLimits } from '../../../proxy/backend/limits.js';
import { BackendSession } from '../../../proxy/backend/session.js';
import { Journal, readJournal } from '../../../proxy/journal/journal.js';
import { handleOf, handleOn, type NativeHandle, socketOn } from '../../../proxy/kernel/handle.js';
import { socketCounters } from '../../../proxy/kernel/socket-counters.js';
import { defaultProxyLimits as limits } from '../../../proxy/limits.js';
import { LinkListener } from '../../../proxy/listener.js';
import { plainPolicy } from '../../../proxy/policy/rules.js';
import { Registry } from '../../../proxy/registry.js';
import { JournalProtection } from '../../../proxy/takeover/protection.js';
import { type Takeover, takeOver } from '../../../proxy/takeover/takeover.js';
import { defaultLimits as linkLimits, tokenBytes } from '../../../shim/link/index.js';
import { accept, acceptSeen, connect, listener, pattern } from '../backend/opened.js';
import { TestDriver, TestShim, until } from '../gate.js';

const log = pino({ level: 'silent' });
const now = (): number => performance.now();
const dup = koffi.load(null).func('int dup(int fd)') as (fd: number) => number;

interface Left {
  readonly directory: string;
  readonly handles: ReadonlyMap<number, NativeHandle>;
}

/** Everything of a worker that has to do with sessions. */
class TestWorker {
  readonly sessions: BackendSession[] = [];
  readonly kept = new Map<number, Socket | undefined>();
  readonly lost: AuditEntry[] = [];
  readonly registry: Registry;
  readonly links: LinkListener;
  readonly taken: Takeover | undefined;
  readonly #directory: string;

  constructor(t: Test, databasePort: number, left?: Left) {
    this.#directory = scratch(t);
    const journal = new Journal({ directory: this.#directory, failed: (error) => t.fail(error.message) });
    const own = { limits: defaultBackendLimits, log, now };
    this.taken =
      left &&
      takeOver(readJournal(left.directory), left.handles, {
        counters: ({ fd }) => socketCounters(fd),
        nowMs: now(),
        landed: Buffer.alloc(0),
        takeUp: (record, handle, resendFrom, events) => {
          const socket = socketOn(
            handle,
            strictReading(() => socket),
          );
          return this.#add(BackendSession.takeUp(record, socket, { ...own, events, resendFrom }));
        },
      });
    for (const id of left?.handles.keys() ?? []) this.kept.set(id, undefined);
    const channel = {
      keep: (id: number, socket: unknown) => void this.kept.set(id, socket as Socket),
      drop: (id: number) => void this.kept.delete(id),
      isKept: (id: number) => this.kept.has(id),
    };
    const database = { host: '127.0.0.1', port: databasePort };
    this.registry = new Registry({
      ...{ limits, linkLimits, log, now, policy: plainPolicy() },
      audit: { ...noAudit, record: (entry) => void (entry.event === 'lost' && this.lost.push(entry)) },
      newToken: () => randomBytes(tokenBytes),
      protection: new JournalProtection(journal, channel, this.taken?.next),
      openBackend: (events) => this.#add(new BackendSession({ ...own, events, addresses: [database] })),
    });
    this.registry.takeOver(this.taken?.workloads ?? []);
    this.links = new LinkListener({
      registry: this.registry,
      limits,
      linkLimits,
      security: { kind: 'plaintext' },
      log,
    });
    t.teardown(async () => {
      this.registry.stop();
      await this.links.close();
      journal.close();
    });
  }

  /** As if it were killed now: not a byte more is read or put down. Another descriptor of each connection stays open. */
  die(t: Test): Left {
    const directory = scratch(t);
    cpSync(this.#directory, directory, { recursive: true });
    const handles = new Map<number, NativeHandle>();
    for (const [id, socket] of this.kept) {
      const fd = socket && handleOf(socket)?.fd;
      if (fd !== undefined) handles.set(id, handleOn(dup(fd)));
    }
    for (const session of this.sessions) session.destroy();
    return { directory, handles };
  }

  #add(session: BackendSession): BackendSession {
    this.sessions.push(session);
    return session;
  }
}

function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'hf-takeover-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** A driver past its ACCEPT, and the database's end of its session; both write down what they hear. */
async function connected(shim: TestShim, server: Awaited<ReturnType<typeof listener>>['server']) {
  const accepted = once(server, 'accepted');
  const driver = new TestDriver(shim.port);
  const heard = { driver: Buffer.alloc(0), database: Buffer.alloc(0) };
  driver.socket.on('data', (chunk) => {
    heard.driver = Buffer.concat([heard.driver, chunk]);
  });
  driver.socket.write(connect);
  const [peer] = (await accepted) as [Socket];
  peer.on('data', (chunk) => {
    heard.database = Buffer.concat([heard.database, chunk]);
  });
  peer.resume();
  await until(() => heard.driver.length === acceptSeen.length);
  return { driver, peer, heard };
}

t.test('what the shim has acknowledged is handed on to no other worker', async (t) => {
  const { server, port: databasePort } = await listener(t, accept);
  const before = new TestWorker(t, databasePort);
  const port = await before.links.listen('127.0.0.1', 0);
  const shim = await new TestShim({ port }).start();
  t.teardown(() => shim.stop());
  await shim.dialer.attach();
  const { peer, heard } = await connected(shim, server);
  const rows = pattern(4 * linkLimits.windowBytes);
  peer.write(rows);
  await until(() => heard.driver.length === acceptSeen.length + rows.length);
  const stored = () => before.registry.workloads[0]?.storedBytes;
  await until(() => stored() === 0);
  await before.links.close();
  const after = new TestWorker(t, databasePort, before.die(t));
  const [image] = after.taken?.workloads[0]?.sessions ?? [];
  const bytes = image?.rest.bytes.length ?? Number.NaN;
  t.ok(bytes < linkLimits.windowBytes, `${bytes} bytes of ${rows.length}`);
});

t.test('sessions go on in another registry: every byte arrives once, what cannot go on is told', async (t) => {
  const { server, port: databasePort } = await listener(t, accept);
  const before = new TestWorker(t, databasePort);
  const port = await before.links.listen('127.0.0.1', 0);
  const shim = await new TestShim({ port }).start();
  t.teardown(() => shim.stop());
  await shim.dialer.attach();
  const [one, other] = [await connected(shim, server), await connected(shim, server)];
  one.driver.socket.write('first');
  await until(() => one.heard.database.length === 5);
  await until(
    () => before.registry.workloads[0]?.sessions().every(({ protection }) => protection === 'protected') === true,
  );

  // The shim is away: what the database says is in the journal only, what the driver says with the shim only.
  await before.links.close();
  const rows = pattern(100_000);
  one.peer.write(rows);
  const delivered = () => before.sessions[0]?.describe().positions.delivered;
  await until(() => delivered() === acceptSeen.length + rows.length);
  one.driver.socket.write('second');
  const left = before.die(t);
  const [, secondId = 0] = [...left.handles.keys()];
  left.handles.get(secondId)?.close();
  const after = new TestWorker(t, databasePort, {
    ...left,
    handles: new Map([...left.handles].filter(([id]) => id !== secondId)),
  });
  one.peer.write('late');
  t.equal(after.sessions.length, 1);
  t.match(after.lost, [{ event: 'lost', code: 'takeover-not-kept' }]);
  t.match(after.registry.workloads[0]?.state, { kind: 'held' });
  await after.links.listen('127.0.0.1', port);
  await until(() => one.heard.driver.length >= acceptSeen.length + rows.length + 4);
  await until(() => one.heard.database.length >= 11);
  one.driver.socket.end('third');
  await until(() => one.heard.database.length >= 16);
  t.ok(one.heard.driver.equals(Buffer.concat([acceptSeen, rows, Buffer.from('late')])), 'towards the driver');
  t.equal(one.heard.database.toString(), 'firstsecondthird', 'towards the database');
  t.not(await other.driver.closed, undefined, 'the driver of the other sees its connection end');
  one.peer.end();
  await one.driver.closed;
  await until(() => after.registry.workloads[0]?.sessions().length === 0);
  t.equal(after.kept.size, 0, 'the keeper keeps nothing of what is over');
});
