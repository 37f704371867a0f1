/** Functions that nobody here knows pass, are named by their number, and leave everything else known. */
import t from 'tap';
import { openForTest } from '../../../fixtures/oracle/database-under-test.js';
import { oraNumber } from '../../../fixtures/oracle/wire-harness.js';
import { dialects, openStage } from './stage.js';

t.setTimeout(60_000);
const database = await openForTest(t);

for (const personality of dialects) {
  t.test(`${personality.name}: an unknown function is a call, with its answer and its status`, async (t) => {
    const stage = await openStage(t, { database, personality });
    const { connection, track } = stage;
    await connection.execute(`create table known_${personality.protocolVersion} (id number)`);
    await connection.execute(`insert into known_${personality.protocolVersion} values (1)`);
    const before = track().calls.total;
    // Advanced queuing: function 121, which the database does not know either.
    const queue = await connection.getQueue('anything');
    let during: ReturnType<typeof track> | undefined;
    stage.interceptor = {
      fromDriver: (packet, wire) => {
        during ??= track();
        wire.toDatabase(packet);
      },
    };
    t.equal(await oraNumber(queue.enqOne(Buffer.from('x'))), 3115);
    t.match(track(), {
      calls: { total: before + 1, inFlight: 0, lastFunction: 'function 121', lastError: 3115 },
      transaction: { kind: 'open' },
      movability: { movable: true, reason: 'in-transaction' },
    });
    t.match(during, { calls: { inFlight: 1 }, movability: { reason: 'in-call', detail: 'function 121' } });
    await connection.rollback();
    t.match(track(), { transaction: { kind: 'none' }, movability: { reason: 'idle' } });
    t.equal(connection.transactionInProgress, false);
  });
}
