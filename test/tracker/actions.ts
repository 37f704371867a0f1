/**
 * What a program does to its session: one call of the driver each, but where the driver itself makes several of one. An action
 * may fail as the database likes; `answers` tells how it must have ended at least once in a long run, so that no action is in
 * the list for nothing.
 */
import oracledb from 'oracledb';
import type { Random } from '../../shim/program/random.js';
import type { TpcConnection } from '../fixtures/oracle/tpc.js';

export interface Stage {
  connection: TpcConnection;
  /** Gives the connection back to its pool and gets one again; where there is none, it stays. */
  readonly renew: () => Promise<void>;
  readonly random: Random;
  /** A table of this program's own: `id` is its primary key, `name` and `text` are texts. */
  readonly table: string;
  /** Open result sets, read a few rows at a time. */
  readonly open: oracledb.ResultSet<unknown>[];
  /** Compares in the midst of an action of several calls. */
  readonly check: (what: string) => void;
  count: number;
}

export interface Action {
  /** How often it is drawn, compared with the others. */
  readonly weight: number;
  /** `ok`, or the numbers of errors, as the driver writes them. */
  readonly answers: readonly string[];
  run(stage: Stage): Promise<unknown>;
}

const idOf = ({ random }: Stage): number => random.below(1000);
const ok = ['ok'];

function sql(weight: number, answers: readonly string[], text: (stage: Stage) => string): Action {
  return { weight, answers, run: (stage) => stage.connection.execute(text(stage)) };
}

async function openRows(stage: Stage): Promise<void> {
  if (stage.open.length >= 5) await stage.open.shift()?.close();
  const { resultSet } = await stage.connection.execute(`select id, name from ${stage.table} order by id`, [], {
    resultSet: true,
    fetchArraySize: 3,
    prefetchRows: 2,
  });
  if (resultSet !== undefined) stage.open.push(resultSet);
}

/** A call that the driver breaks. */
async function broken({ connection }: Stage, during: string): Promise<void> {
  const call = connection.execute(during);
  await connection.break();
  await call;
}

async function timedOut({ connection }: Stage, during: string): Promise<void> {
  connection.callTimeout = 15;
  try {
    await connection.execute(during);
  } finally {
    connection.callTimeout = 0;
  }
}

const queries: Readonly<Record<string, Action>> = {
  query: sql(8, ok, () => 'select 1 from dual'),
  'query, no rows': sql(4, ok, ({ table }) => `select * from ${table} where id < 0`),
  'all rows': {
    weight: 4,
    answers: ok,
    run: ({ connection, table }) =>
      connection.execute(`select * from ${table} order by id`, [], { fetchArraySize: 7, maxRows: 60 }),
  },
  'long rows': {
    weight: 2,
    answers: ok,
    // Bytes 4 and 9 are how ERROR and STATUS begin.
    run: ({ connection, table }) =>
      connection.execute(`select id, rpad('x', 3000, chr(9) || chr(4)) from ${table} where rownum <= 20`),
  },
  'open rows': { weight: 4, answers: ok, run: openRows },
  'some rows': {
    weight: 10,
    answers: ok,
    run: ({ open, random, connection }) =>
      open[random.below(open.length)]?.getRows(1 + random.below(5)) ?? connection.ping(),
  },
  'close rows': { weight: 2, answers: ok, run: async ({ open }) => open.shift()?.close() },
  'for update': sql(3, ok, ({ table }) => `select id from ${table} where id < 100 for update`),
  'for update nowait': sql(2, ok, ({ table }) => `select id from ${table} where id < 10 for update nowait`),
};

const changes: Readonly<Record<string, Action>> = {
  insert: {
    weight: 10,
    answers: ['ok', 'ORA-00001'],
    run: (stage) =>
      stage.connection.execute(`insert into ${stage.table} (id, name) values (:1, :2)`, [idOf(stage), 'x']),
  },
  'insert many': {
    weight: 3,
    answers: ['ok', 'ORA-00001'],
    run: (stage) => {
      const first = idOf(stage) * 1000;
      const rows = Array.from({ length: 20 }, (_unused, at) => [first + at, 'y'.repeat(100)]);
      return stage.connection.executeMany(`insert into ${stage.table} (id, name) values (:1, :2)`, rows);
    },
  },
  'duplicate key': {
    weight: 2,
    answers: ['ORA-00001'],
    run: (stage) => {
      const id = idOf(stage);
      const rows = [
        [id, 'x'],
        [id, 'y'],
      ];
      return stage.connection.executeMany(`insert into ${stage.table} (id, name) values (:1, :2)`, rows);
    },
  },
  'insert and commit': {
    weight: 4,
    answers: ['ok', 'ORA-00001'],
    run: (stage) =>
      stage.connection.execute(`insert into ${stage.table} (id, name) values (:1, :2)`, [idOf(stage), 'x'], {
        autoCommit: true,
      }),
  },
  'long text': {
    weight: 2,
    answers: ok,
    run: (stage) =>
      stage.connection.execute(`update ${stage.table} set text = :1 where id = :2`, ['t'.repeat(30_000), idOf(stage)]),
  },
  update: {
    weight: 6,
    answers: ok,
    run: (stage) => stage.connection.execute(`update ${stage.table} set name = :1 where id = :2`, ['z', idOf(stage)]),
  },
  returning: {
    weight: 3,
    answers: ok,
    run: (stage) =>
      stage.connection.execute(`update ${stage.table} set name = 'r' where id < :1 returning id into :2`, [
        stage.random.below(50),
        { dir: oracledb.BIND_OUT, type: oracledb.NUMBER },
      ]),
  },
  delete: {
    weight: 3,
    answers: ok,
    run: (stage) => stage.connection.execute(`delete from ${stage.table} where id < :1`, [stage.random.below(200)]),
  },
  merge: sql(
    2,
    ok,
    (stage) =>
      `merge into ${stage.table} t using (select ${idOf(stage)} as id from dual) s on (t.id = s.id)
       when matched then update set name = 'm' when not matched then insert (id, name) values (s.id, 'n')`,
  ),
};

const blocks: Readonly<Record<string, Action>> = {
  block: sql(3, ok, () => 'begin null; end;'),
  'block with a change': sql(3, ok, (stage) => `begin update ${stage.table} set name = 'b' where id < 9; end;`),
  'block that commits': sql(
    2,
    ok,
    (stage) => `begin delete from ${stage.table} where id = ${idOf(stage)}; commit; end;`,
  ),
  'block that fails': sql(
    2,
    ['ORA-20001'],
    (stage) => `begin update ${stage.table} set name = 'b' where id < 9; raise_application_error(-20001, 'no'); end;`,
  ),
  'block that commits and fails': sql(
    2,
    ['ORA-20001'],
    (stage) =>
      `begin update ${stage.table} set name = 'b' where id < 9; commit; raise_application_error(-20001, 'no'); end;`,
  ),
};

const transactions: Readonly<Record<string, Action>> = {
  commit: { weight: 6, answers: ok, run: ({ connection }) => connection.commit() },
  rollback: { weight: 4, answers: ok, run: ({ connection }) => connection.rollback() },
  'commit by statement': sql(2, ok, () => 'commit'),
  'rollback by statement': sql(2, ok, () => 'rollback'),
  savepoint: sql(3, ok, ({ random }) => `savepoint here${random.below(3)}`),
  'rollback to': sql(3, ['ok', 'ORA-01086'], ({ random }) => `rollback to here${random.below(3)}`),
  'set transaction': sql(1, ['ok', 'ORA-01453'], () => 'set transaction isolation level serializable'),
  'alter session': sql(1, ok, () => "alter session set nls_date_format = 'YYYY'"),
  'lock table': sql(1, ok, ({ table }) => `lock table ${table} in share mode`),
};

const definitions: Readonly<Record<string, Action>> = {
  'create table': sql(1, ['ok', 'ORA-00955'], ({ table, random }) => {
    return `create table ${table}_${random.below(4)} (id number)`;
  }),
  'drop table': sql(1, ['ok', 'ORA-00942'], ({ table, random }) => `drop table ${table}_${random.below(4)}`),
  truncate: sql(1, ok, ({ table }) => `truncate table ${table}`),
  'bad ddl': sql(1, ['ORA-00902'], ({ table }) => `create table ${table}_bad (id nonsense)`),
};

const failures: Readonly<Record<string, Action>> = {
  'missing table': sql(3, ['ORA-00942'], () => 'select * from missing'),
  'bad syntax': sql(3, ['ORA-00900'], () => 'selec 1'),
  'missing bind': sql(1, ['NJS-098'], ({ table }) => `insert into ${table} (id) values (:1)`),
  'divide by zero': sql(2, ['ORA-01476'], () => 'select 1 / 0 from dual'),
  'call timeout': { weight: 0.5, answers: ['NJS-123'], run: (stage) => timedOut(stage, sleep) },
  'break of a block': { weight: 0.5, answers: ['ORA-01013'], run: (stage) => broken(stage, sleep) },
  'break of a change': {
    weight: 0.5,
    answers: ['ok', 'ORA-01013'],
    run: (stage) => broken(stage, `update ${stage.table} set name = 'k'`),
  },
  'break of a query': {
    weight: 0.5,
    answers: ['ok', 'ORA-01013'],
    run: (stage) => broken(stage, `select a.id from ${stage.table} a, ${stage.table} b where rownum < 5000`),
  },
};

const sleep = 'begin dbms_session.sleep(5); end;';

const others: Readonly<Record<string, Action>> = {
  ping: { weight: 3, answers: ok, run: ({ connection }) => connection.ping() },
  attributes: {
    weight: 2,
    answers: ok,
    run: ({ connection, random }) => {
      connection.module = `module ${random.below(9)}`;
      connection.action = 'act';
      connection.clientId = `client ${random.below(9)}`;
      return connection.ping();
    },
  },
};

/** The name of a transaction that no other program has, and no later one of this program. */
const nameOf = (stage: Stage): string => {
  stage.count += 1;
  return `${stage.table} ${stage.count}`;
};

/** Begun, left, taken up again and ended: what is left holds its locks, so nothing else happens to the table meanwhile. */
async function sessionless(stage: Stage): Promise<void> {
  const { connection, random, table, check } = stage;
  const transactionId = nameOf(stage);
  await connection.beginSessionlessTransaction({ transactionId, deferRoundTrip: random.chance(0.3) });
  const change = () => connection.execute(`update ${table} set name = 's' where id < :1`, [idOf(stage)]);
  await change();
  check('begin and change');
  await connection.suspendSessionlessTransaction();
  check('suspend');
  await connection.execute('select 1 from dual');
  check('a query of its own');
  await connection.resumeSessionlessTransaction(transactionId);
  check('resume');
  await change();
  check('change');
  if (random.chance(0.5)) await connection.commit();
  else await connection.rollback();
}

async function twoPhases(stage: Stage): Promise<void> {
  const { connection, random, table, check } = stage;
  const xid = { formatId: 1, globalTransactionId: nameOf(stage), branchQualifier: 'b' };
  await connection.tpcBegin(xid);
  check('tpcBegin');
  await connection.execute(`update ${table} set name = 'x' where id < :1`, [idOf(stage)]);
  check('change');
  const end = random.unit();
  if (end < 0.3) return connection.tpcRollback(xid);
  await connection.tpcEnd(xid);
  check('tpcEnd');
  if (end < 0.5) return connection.tpcCommit(xid, true);
  const isPrepared = await connection.tpcPrepare(xid);
  check('tpcPrepare');
  if (isPrepared) await connection.tpcCommit(xid);
}

const leaving: Readonly<Record<string, Action>> = {
  // A session that has a transaction cannot begin another one. When that comes out with a call later than the beginning
  // (deferRoundTrip), the driver takes the transaction that was never begun for active, and begins no other (NJS-171).
  sessionless: { weight: 3, answers: ['ok', 'ORA-24776', 'NJS-171'], run: sessionless },
  'sessionless after commit': {
    weight: 2,
    answers: ['ok', 'NJS-171'],
    run: async (stage) => {
      await stage.connection.commit();
      await sessionless(stage);
    },
  },
  'two phases': { weight: 2, answers: ['ok', 'ORA-24776'], run: twoPhases },
  'two phases after commit': {
    weight: 2,
    answers: ok,
    run: async (stage) => {
      await stage.connection.commit();
      await twoPhases(stage);
    },
  },
  'give back': { weight: 2, answers: ok, run: (stage) => stage.renew() },
};

/** The driver looks at the status of no pipelined answer: it says what it knows after the next call. */
async function piped({ connection, table, random }: Stage): Promise<void> {
  const pipeline = new oracledb.Pipeline();
  for (let call = 0; call < 2 + random.below(4); call++) {
    pipeline.addExecute(`insert into ${table} (id, name) values (:1, 'p')`, [random.below(1000)]);
  }
  pipeline.addFetchAll(`select id from ${table} where id < 5`);
  if (random.chance(0.3)) pipeline.addCommit();
  try {
    await connection.runPipeline(pipeline, random.chance(0.5));
  } finally {
    await connection.ping();
  }
}

async function temporaryLob({ connection, table }: Stage, id: number): Promise<void> {
  const lob = await connection.createLob(oracledb.CLOB);
  try {
    await new Promise<void>((resolve, reject) => {
      lob.once('error', reject);
      lob.once('finish', resolve);
      lob.write('x'.repeat(9000));
      lob.end('end');
    });
    await connection.execute(`update ${table} set big = :1 where id >= :2 and rownum = 1`, [lob, id]);
  } finally {
    lob.destroy();
  }
}

async function readLob({ connection, table }: Stage): Promise<void> {
  const { rows } = await connection.execute<[oracledb.Lob]>(
    `select big from ${table} where big is not null and rownum <= 3`,
  );
  for (const [lob] of rows ?? []) await lob.getData();
}

const values: Readonly<Record<string, Action>> = {
  pipeline: { weight: 3, answers: ['ok', 'ORA-00001'], run: piped },
  'temporary lob': { weight: 2, answers: ok, run: (stage) => temporaryLob(stage, idOf(stage)) },
  'read lobs': { weight: 2, answers: ok, run: readLob },
};

export const actions: Readonly<Record<string, Action>> = {
  ...queries,
  ...changes,
  ...blocks,
  ...transactions,
  ...definitions,
  ...failures,
  ...others,
  ...leaving,
  ...values,
};

/** Draws the name of an action, each as often as its weight says. */
export function draw(random: Random): string {
  let left = random.unit() * totalWeight;
  for (const [name, { weight }] of Object.entries(actions)) {
    left -= weight;
    if (left < 0) return name;
  }
  return 'ping';
}

const totalWeight = Object.values(actions).reduce((sum, { weight }) => sum + weight, 0);
