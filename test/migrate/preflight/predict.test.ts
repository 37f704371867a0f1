import t from 'tap';
import { moverOf } from '../../../migrate/movers/movers.js';
import { predictBlackout } from '../../../migrate/preflight/predict.js';
import type { MoveRecord } from '../../../migrate/record.js';

const mib = 2 ** 20;

function record(total: number, memoryBytes: number | undefined, changes: Partial<MoveRecord> = {}): MoveRecord {
  return {
    ...{ move: 'm', workload: 'w', mover: 'criu', outcome: 'moved', startedAt: '', endedAt: '' },
    ...{ by: { user: 'u', host: 'h' }, running: 'target', resumes: 0 },
    ...{ from: { node: 'a', address: '' }, to: { node: 'b', address: '' }, phases: [] },
    blackoutMs: { total, detach: 0, freeze: 0, transfer: 0, restore: 0, bind: 0 },
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...{ epoch: { before: 1, after: 2 }, replayedBytes: { up: 0, down: 0 }, sessions: [], warnings: [] },
    ...changes,
  };
}

t.test('more memory is a longer blackout, and without experience the upper end is far off', async (t) => {
  const small = predictBlackout(moverOf('criu'), 10 * mib, []);
  const large = predictBlackout(moverOf('criu'), 10_000 * mib, []);
  t.ok(large.expectedMs > 10 * small.expectedMs);
  t.ok(small.upperMs >= 2 * small.expectedMs);
  t.equal(small.moves, 0);
  t.ok(predictBlackout(moverOf('relink'), 0, []).expectedMs < 100, 'relink moves no memory');
});

t.test('what is expected is learned from the move in the middle, the upper end from the worst', async (t) => {
  const of = (total: number) => record(total, 100 * mib);
  const { expectedMs, upperMs, moves } = predictBlackout(moverOf('criu'), 100 * mib, [of(900), of(1_000), of(4_000)]);
  t.equal(expectedMs, 1_000);
  t.equal(upperMs, 4_000);
  t.equal(moves, 3);
});

t.test('moves of another mover, failed ones and those of unknown memory teach nothing', async (t) => {
  const records = [
    record(9_000, 100 * mib, { mover: 'relink' }),
    record(9_000, 100 * mib, { outcome: 'put-back' }),
    record(9_000, undefined),
  ];
  t.equal(predictBlackout(moverOf('criu'), 100 * mib, records).moves, 0);
});

t.test('what was long ago is forgotten', async (t) => {
  const slow = Array.from({ length: 30 }, () => record(60_000, 100 * mib));
  const fast = Array.from({ length: 20 }, () => record(500, 100 * mib));
  t.match(predictBlackout(moverOf('criu'), 100 * mib, [...slow, ...fast]), {
    expectedMs: 500,
    upperMs: 500,
    moves: 20,
  });
});
