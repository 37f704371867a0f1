import t from 'tap';
import { type MoveRecord, roundMs } from '../../../migrate/record.js';
import { blackoutOfMoves, isClean, isOneCopy, type KillRow, type MoveRow } from './row.js';

const row: MoveRow = {
  ...{ application: 'a', mover: 'criu', moment: 'in a call', moves: 1, blackoutMs: undefined },
  ...{ lost: 0, duplicated: 0, rolledBack: 0, violations: [] },
};

t.test('a row is clean when everything was counted, and is nothing', async (t) => {
  t.ok(isClean(row));
  for (const key of ['lost', 'duplicated', 'rolledBack']) {
    t.notOk(isClean({ ...row, [key]: 1 }), key);
    t.notOk(isClean({ ...row, [key]: undefined }), `${key} that nobody knows`);
  }
  t.notOk(isClean({ ...row, violations: ['a digest'] }));
});

t.test('a kill ends well with one copy that goes on', async (t) => {
  const kill: KillRow = { party: 'shim', boundary: 'after bind', copiesRunning: 1, at: 'node-b', goesOn: true };
  t.ok(isOneCopy(kill));
  for (const copiesRunning of [0, 2]) t.notOk(isOneCopy({ ...kill, copiesRunning }));
  t.notOk(isOneCopy({ ...kill, goesOn: false }));
});

t.test('of several moves the one with the longest blackout counts', async (t) => {
  const record = (total: number) => ({ blackoutMs: { total, detach: total / 2 } }) as MoveRecord;
  t.match(blackoutOfMoves([record(3), record(9), record(5)], 10.123), { total: 9, detach: 4.5, seen: roundMs(10.123) });
  t.equal(blackoutOfMoves([], undefined), undefined);
});
