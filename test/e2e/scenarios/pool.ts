import { type IdRange, idsPerConnection } from '../../../fixtures/apps/rows.js';
import type { Step } from '../../../fixtures/apps/steps.js';
import type { Scenario } from './scenario.js';

const rows = 50;
const seconds = 3;

const start: Step = { do: 'gate', gate: 'start' };
const moved: Step = { do: 'gate', gate: 'moved' };
const insert: Step = { do: 'insert', rows };
const finish: readonly Step[] = [{ do: 'gate', gate: 'commit' }, { do: 'commit' }];

/** The connections of the pool, and what each is doing when all are moved at once. */
const inTransaction: readonly Step[] = [start, insert, moved, insert, ...finish];
const inCall: readonly Step[] = [start, insert, { do: 'sleepUntil', gate: 'moved', seconds }, insert, ...finish];
const inserting: readonly Step[] = [start, { do: 'insertUntil', gate: 'moved' }, ...finish];
const idle: readonly Step[] = [start, { do: 'read' }, moved, { do: 'read' }];

export const pool: Scenario = {
  name: 'pool',
  moment: 'a pool: calls, transactions, idle',
  rule: 'an application is moved with a pool: connections in transactions, in calls, and idle',
  flows: ['up'],
  async play(stage) {
    const first: readonly Step[] = [{ do: 'create' }, ...inTransaction];
    await stage.start(200, first, inTransaction, inCall, inserting, idle, idle);
    await stage.event({ done: 'create' });
    const watch = stage.watchInvisible();
    stage.openGate('start');
    await stage.event({ connection: 2, begun: 'sleepUntil' });
    for (const connection of [0, 1, 4, 5]) await stage.event({ connection, begun: 'gate', gate: 'moved' });
    await stage.until('four transactions', async () => {
      const open = (await stage.places()).filter(({ databaseXid }) => databaseXid !== null);
      return open.length === 4 ? open : undefined;
    });
    const { record } = await stage.move({ sessions: 6, inTransaction: 4 });
    const calls = record.sessions.map(({ callsInFlight }) => callsInFlight.before);
    stage.expect(calls.includes(1) && calls.includes(0), `some sessions are in a call and some are not: ${calls}`);
    stage.openGate('moved');
    const { rows: inserted = 0 } = await stage.event({ connection: 3, done: 'insertUntil' });
    await stage.event({ connection: 2, begun: 'gate', gate: 'commit' });
    for (const connection of [4, 5]) {
      const reads = stage.events().filter((event) => event.connection === connection && event.done === 'read');
      stage.equal(reads.map((event) => event.rows).join(), '0,0', `rows of others that connection ${connection} read`);
    }
    await watch.stop();
    stage.openGate('commit');
    const counts = [rows * 2, rows * 2, rows * 2, inserted];
    await stage.finish(
      ...counts.map((count, index): IdRange => ({ firstId: index * idsPerConnection + 1, rows: count })),
    );
  },
};
