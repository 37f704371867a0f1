/**
 * The real driver through real sessions: after every call the tracker says of the transaction what the driver says. The program is
 * random, behind one of each; HOLDFAST_SEED repeats one.
 */
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { openDatabase } from '../../../fixtures/oracle/postgres.js';
import { startOracleServer } from '../../../fixtures/oracle/server.js';
import { type Personality, personality23ai } from '../../../fixtures/oracle/wire/personality.js';
import type { SessionTrack } from '../../../proxy/track/view.js';
import { randomFrom } from '../../../shim/program/random.js';
import { pipe } from '../backend/pipe.js';
import { personalityUnmarked } from './personality.js';

const seed = Number(process.env.HOLDFAST_SEED ?? Date.now() % 2 ** 31);
const login = { user: 'scott', password: 'tiger' };
const callsInProgram = 150;

const database = await openDatabase({ services: ['freepdb1'], users: { scott: 'tiger' } });
t.teardown(() => database.close());

/** A driver's connection through the proxy's session, with what its tracker says. */
async function connect(t: Test, personality: Personality, chunk?: (bytes: Buffer) => readonly Buffer[]) {
  const log = { info: () => {}, warn: (fields: object, message: string) => t.comment(message, fields) };
  const server = await startOracleServer({ database, host: '127.0.0.1', port: 0, log, personality });
  t.teardown(() => server.close());
  const front = await pipe(t, { host: '127.0.0.1', port: server.port }, chunk === undefined ? {} : { chunk });
  const connection = await oracledb.getConnection({ ...login, connectString: `127.0.0.1:${front.port}/freepdb1` });
  const track = (): SessionTrack => {
    const session = front.sessions[0];
    if (session === undefined) throw new Error('the driver has no session');
    return session.describe().track;
  };
  return { connection, track };
}

type Connection = oracledb.Connection;
/** One call, or a few; may fail as the database likes. */
type Action = (connection: Connection, random: () => number) => Promise<unknown>;

const id = (random: () => number): number => Math.floor(random() * 1000);

const actions: Readonly<Record<string, Action>> = {
  query: (c) => c.execute('select 1 from dual'),
  'many rows': (c) => c.execute('select * from t order by id', [], { fetchArraySize: 7 }),
  'long rows': (c) => c.execute(`select id, rpad('x', 2000, '\t') from t`),
  insert: (c, random) => c.execute('insert into t values (:1, :2)', [id(random), 'x']),
  'insert many': (c, random) => {
    const rows = Array.from({ length: 20 }, () => [id(random), 'y'.repeat(100)]);
    return c.executeMany('insert into t values (:1, :2)', rows);
  },
  'duplicate key': (c) => {
    const rows = [
      [2000, 'x'],
      [2000, 'y'],
    ];
    return c.executeMany('insert into t values (:1, :2)', rows);
  },
  'insert and commit': (c, random) =>
    c.execute('insert into t values (:1, :2)', [id(random), 'x'], { autoCommit: true }),
  update: (c, random) => c.execute('update t set name = :1 where id = :2', ['z', id(random)]),
  delete: (c, random) => c.execute('delete from t where id < :1', [id(random) / 10]),
  lock: (c) => c.execute('select id from t for update'),
  block: (c) => c.execute('begin null; end;'),
  'missing table': (c) => c.execute('select * from missing'),
  'bad syntax': (c) => c.execute('selec 1'),
  ddl: (c, random) => c.execute(`create table t${Math.floor(random() * 1e9)} (id number)`),
  savepoint: (c) => c.execute('savepoint here'),
  commit: (c) => c.commit(),
  rollback: (c) => c.rollback(),
  'commit by statement': (c) => c.execute('commit'),
  'rollback by statement': (c) => c.execute('rollback'),
  ping: (c) => c.ping(),
  'call timeout': async (c) => {
    c.callTimeout = 30;
    try {
      await c.execute('begin dbms_session.sleep(5); end;');
    } finally {
      c.callTimeout = 0;
    }
  },
  break: async (c) => {
    const call = c.execute('begin dbms_session.sleep(5); end;');
    await c.break();
    await call;
  },
};

async function runProgram(t: Test, connection: Connection, track: () => SessionTrack): Promise<void> {
  t.comment(`HOLDFAST_SEED=${seed}`);
  const random = randomFrom(seed);
  const names = Object.keys(actions);
  const seen = new Map<string, number>();
  const trail: string[] = [];
  for (let call = 0; call < callsInProgram; call++) {
    const name = names[call] ?? names[Math.floor(random() * names.length)] ?? '';
    const error = await actions[name]?.(connection, random).then(
      () => '',
      (reason: Error) => reason.message.slice(0, 60),
    );
    trail.push(`${name} ${error}`);
    const { transaction, calls, movability } = track();
    const state = connection.transactionInProgress === true ? 'open' : 'none';
    seen.set(state, (seen.get(state) ?? 0) + 1);
    const expected = state === 'open' ? 'in-transaction' : 'idle';
    if (transaction.kind !== state || calls.inFlight !== 0 || movability.reason !== expected) {
      const found = JSON.stringify({ state, transaction, calls, movability });
      t.fail(`call ${call}: ${found}`, { trail: trail.slice(-5) });
      return;
    }
  }
  t.ok((seen.get('open') ?? 0) > 10 && (seen.get('none') ?? 0) > 10, 'both states were seen, often');
  t.ok(
    ['ORA-00001', 'ORA-00942', 'ORA-01013', 'NJS-123'].every((code) => trail.some((line) => line.includes(code))),
    'errors, a break and a call timeout were seen',
  );
}

for (const [name, personality] of [
  ['23ai', personality23ai],
  ['unmarked', personalityUnmarked],
] as const) {
  t.test(`${name}: SID, serial# and the rest are those the database tells`, async (t) => {
    const { connection, track } = await connect(t, personality);
    const query = `select sid, serial#, username, program, machine from v$session where sid = sys_context('userenv', 'sid')`;
    const { rows } = await connection.execute<unknown[]>(query);
    const { identity, protocol, phase } = track();
    t.strictSame([identity.sid, identity.serial], rows?.[0]?.slice(0, 2));
    t.equal(identity.user?.toUpperCase(), rows?.[0]?.[2]);
    t.strictSame([identity.program, identity.machine], rows?.[0]?.slice(3));
    t.match(identity, { service: /freepdb1/i, driver: /node-oracledb/, processId: String(process.pid) });
    t.match(protocol, { version: personality.protocolVersion, endOfResponse: personality.endOfResponse });
    t.equal(phase, 'ready');
    await connection.close();
    t.equal(track().phase, 'logged-off');
  });

  t.test(`${name}: a sleeping call is in flight, and ends`, async (t) => {
    const { connection, track } = await connect(t, personality);
    const call = connection.execute('begin dbms_session.sleep(0.1); end;');
    await new Promise<void>((resolve) => {
      const look = (): void => (track().calls.inFlight > 0 ? resolve() : void setImmediate(look));
      look();
    });
    t.match(track().movability, { movable: true, reason: 'in-call', detail: 'execute' });
    await call;
    t.match(track().movability, { movable: true, reason: 'idle' });
    await connection.close();
  });

  t.test(`${name}: after every call of a random program the tracker agrees with the driver`, async (t) => {
    const cuts = randomFrom(seed);
    const { connection, track } = await connect(t, personality, (bytes) => {
      const at = Math.floor(cuts() * bytes.length);
      return [bytes.subarray(0, at), bytes.subarray(at)];
    });
    await connection.execute(`create table t (id number primary key, name varchar2(100))`);
    await runProgram(t, connection, track);
    await connection.rollback();
    await connection.execute('drop table t');
    await connection.close();
  });
}
