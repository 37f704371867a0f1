import fc from 'fast-check';
import t from 'tap';
import {
  type EvacuationRecord,
  evacuationRecord,
  leftBehind,
  type MoveEnd,
  putBacksMax,
  stepEvacuation,
  toBegin,
} from '../../../migrate/fleet/evacuation.js';

const row = { to: 'node-b', memoryBytes: 1, sessions: 1, transactions: 1, waiters: 0 };

function planned(workloads: number, concurrency: number): EvacuationRecord {
  return {
    ...{ node: 'node-a', state: 'planned', startedAt: '2026-01-01T00:00:00.000Z', ms: 0, mover: 'criu' },
    ...{ allowUnknown: false, concurrency, by: { user: 'dba', host: 'here' }, targets: [], unplaced: [] },
    moves: Array.from({ length: workloads }, (_, index) => ({ ...row, workload: `w${index}`, state: 'waiting' })),
  };
}

const error = { code: 'dump-failed', message: 'CRIU says no' };

/** Plays an evacuation to its end: `ends` says how the moves end, one after the other. */
function play(begun: EvacuationRecord, ends: readonly MoveEnd['state'][], which: (under: number) => number) {
  let now = begun;
  let afterLoss = 0;
  const under: string[] = [];
  for (let turn = 0; now.state === 'running'; turn++) {
    for (const { workload } of toBegin(now)) {
      if (now.stopped !== undefined) afterLoss += 1;
      now = stepEvacuation(now, { kind: 'begun', workload });
      under.push(workload);
    }
    if (under.length > now.concurrency) throw new Error(`${under.length} at the same time`);
    const [workload] = under.splice(which(under.length), 1);
    if (workload === undefined) throw new Error('it runs, and nothing is under way');
    const state = ends[turn % ends.length] ?? 'moved';
    now = stepEvacuation(now, { kind: 'ended', workload, end: { state, ...(state === 'moved' ? {} : { error }) } });
    evacuationRecord.parse(now);
  }
  return { now, afterLoss, under };
}

const anyEnd = fc.constantFrom<MoveEnd['state']>('moved', 'moved', 'moved', 'put-back', 'lost', 'left');

t.test(
  'whatever happens it ends, never with more moves at once than allowed, and nothing begins after a loss',
  async (t) => {
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(
        fc.nat(9),
        fc.integer({ min: 1, max: 4 }),
        fc.array(anyEnd, { minLength: 1, maxLength: 9 }),
        fc.nat(7),
        (workloads, concurrency, ends, seed) => {
          const begun = stepEvacuation(planned(workloads, concurrency), { kind: 'started' });
          const { now, afterLoss, under } = play(begun, ends, (count) => seed % Math.max(1, count));
          if (afterLoss > 0 || under.length > 0) throw new Error(JSON.stringify(now));
          const isWaiting = now.moves.some(({ state }) => state === 'waiting');
          const isLost = now.moves.some(({ state }) => state === 'lost');
          if (isWaiting && now.stopped === undefined) throw new Error('not all was tried, and nobody says why');
          if (isLost && now.stopped === undefined) throw new Error('a loss did not stop it');
          if ((now.state === 'stopped') !== (now.stopped !== undefined)) throw new Error(now.state);
          outcomes.add(now.stopped?.code ?? now.state);
        },
      ),
      { numRuns: 500 },
    );
    t.strictSame([...outcomes].sort(), ['done', 'evacuation-loss', 'evacuation-put-backs']);
  },
);

t.test('what was stopped goes on: what has moved or is lost is not touched again, the rest is tried', async () => {
  fc.assert(
    fc.property(fc.nat(9), fc.array(anyEnd, { minLength: 1, maxLength: 9 }), (workloads, ends) => {
      const first = play(stepEvacuation(planned(workloads, 2), { kind: 'started' }), ends, () => 0).now;
      const gone = new Set(first.moves.filter(({ state }) => state === 'moved').map(({ workload }) => workload));
      const resumed = stepEvacuation(first, { kind: 'resumed', stays: (workload) => !gone.has(workload) });
      const again = resumed.moves.filter(({ state }) => state === 'waiting').map(({ workload }) => workload);
      const wanted = first.moves.filter(({ state }) => !/^(moved|lost)$/.test(state)).map(({ workload }) => workload);
      if (again.join() !== wanted.join()) throw new Error(`${again} instead of ${wanted}`);
      const { now } = play(resumed, ['moved'], () => 0);
      const lost = first.moves.filter(({ state }) => state === 'lost').map(({ workload }) => workload);
      if (now.state !== 'done' || leftBehind(now).join() !== lost.join()) throw new Error(JSON.stringify(now));
    }),
  );
});

t.test('an interruption lets what is under way end', async (t) => {
  let now = stepEvacuation(planned(3, 1), { kind: 'started' });
  now = stepEvacuation(now, { kind: 'begun', workload: 'w0' });
  now = stepEvacuation(now, { kind: 'interrupted', why: 'the agent is being stopped' });
  t.equal(now.state, 'running');
  t.strictSame(toBegin(now), []);
  now = stepEvacuation(now, { kind: 'ended', workload: 'w0', end: { state: 'moved' } });
  t.match(now, { state: 'stopped', stopped: { code: 'evacuation-interrupted' } });
  t.strictSame(leftBehind(now), ['w1', 'w2']);
});

t.test('a move that was cut off and reached its target is not made again', async (t) => {
  let now = stepEvacuation(planned(2, 2), { kind: 'started' });
  for (const workload of ['w0', 'w1']) now = stepEvacuation(now, { kind: 'begun', workload });
  const resumed = stepEvacuation(now, { kind: 'resumed', stays: (workload) => workload === 'w1' });
  t.strictSame(
    resumed.moves.map(({ state }) => state),
    ['moved', 'waiting'],
  );
});

t.test(`${putBacksMax} moves in a row that are put back stop it, fewer do not`, async (t) => {
  const run = (...ends: MoveEnd['state'][]) =>
    play(stepEvacuation(planned(6, 1), { kind: 'started' }), ends, () => 0).now;
  t.match(run('put-back'), { state: 'stopped', stopped: { code: 'evacuation-put-backs', message: /CRIU says no/ } });
  t.match(run('put-back', 'put-back', 'moved'), { state: 'done' });
});

t.test('an empty node is done at once', async (t) => {
  t.match(stepEvacuation(planned(0, 2), { kind: 'started' }), { state: 'done' });
});
