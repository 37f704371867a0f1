import fc from 'fast-check';
import t from 'tap';
import {
  type BalanceMove,
  type BalanceOptions,
  balanceState,
  judgeBalance,
  neverBalanced,
  noteMove,
  pressureOf,
  spreadOf,
} from '../../../migrate/fleet/balance.js';
import type { NodeLoad } from '../../../migrate/fleet/messages.js';
import { antiAffinityLabel, memoryReserveShare } from '../../../migrate/fleet/placement.js';

const options: BalanceOptions = {
  ...{ highShare: 0.25, lowShare: 0.1, sustainMs: 600_000, coolDownMs: 1_800_000, movesMax: 5 },
};

/** A node of 4 processors and 1,000 bytes with workloads of so many processors and bytes each, and nothing else. */
function nodeWith(node: string, workloads: readonly { cpus: number; bytes: number; group?: string }[]): NodeLoad {
  const cpus = workloads.reduce((sum, each) => sum + each.cpus, 0);
  const bytes = workloads.reduce((sum, each) => sum + each.bytes, 0);
  return {
    ...{ node, cpus: 4, cpuBusy: cpus / 4, evacuating: false },
    memory: { totalBytes: 1_000, availableBytes: 1_000 - bytes },
    workloads: workloads.map(({ cpus, bytes, group }, index) => ({
      ...{ name: `${node}${index}`, cpus, memoryBytes: bytes },
      labels: group === undefined ? {} : { [antiAffinityLabel]: group },
    })),
  };
}

const workload = fc.record({
  cpus: fc.constantFrom(0, 0.1, 0.2, 0.5, 1),
  bytes: fc.integer({ min: 1, max: 150 }),
  group: fc.constantFrom('', '', 'g'),
});
const cluster = fc.array(fc.array(workload, { maxLength: 5 }), { minLength: 2, maxLength: 4 }).map((all) =>
  all.map((each, index) =>
    nodeWith(
      String.fromCharCode(97 + index),
      each.map(({ group, ...rest }) => (group === '' ? rest : { ...rest, group })),
    ),
  ),
);

/** The cluster after a move, made anew from its workloads. */
function after(nodes: readonly NodeLoad[], moves: readonly BalanceMove[]): readonly NodeLoad[] {
  return nodes.map((node) => {
    const all = nodes.flatMap((each) => each.workloads.map((one) => ({ ...one, at: each.node })));
    const here = all.filter(({ name, at }) => (moves.find((move) => move.workload === name)?.to ?? at) === node.node);
    const cpus = here.reduce((sum, each) => sum + each.cpus, 0);
    const bytes = here.reduce((sum, each) => sum + each.memoryBytes, 0);
    const memory = { totalBytes: 1_000, availableBytes: 1_000 - bytes };
    return { ...node, cpuBusy: cpus / 4, memory, workloads: here.map(({ at: _at, ...one }) => one) };
  });
}

const longAgo = { ...neverBalanced, unevenSinceMs: 0 };
const later = options.coolDownMs * 10;

t.test('moves lower the greatest load of their nodes, keep memory and labels, and move nothing twice', async (t) => {
  let made = 0;
  fc.assert(
    fc.property(cluster, (nodes) => {
      const { moves } = judgeBalance(longAgo, nodes, options, later);
      if (new Set(moves.map(({ workload }) => workload)).size < moves.length) throw new Error('moved twice');
      if (moves.length > options.movesMax) throw new Error(`${moves.length} moves`);
      for (const [index, move] of moves.entries()) {
        const before = after(nodes, moves.slice(0, index));
        const then = after(nodes, moves.slice(0, index + 1));
        const worst = (all: readonly NodeLoad[]) =>
          Math.max(...all.filter(({ node }) => node === move.from || node === move.to).map(pressureOf));
        if (worst(then) >= worst(before)) throw new Error(`${move.workload} makes it no better`);
        const target = then.find(({ node }) => node === move.to);
        if (target === undefined || target.memory.availableBytes < memoryReserveShare * 1_000)
          throw new Error('memory');
        const was = before.find(({ node }) => node === move.to)?.workloads ?? [];
        const group = target.workloads.find(({ name }) => name === move.workload)?.labels[antiAffinityLabel];
        if (group !== undefined && was.some(({ labels }) => labels[antiAffinityLabel] === group))
          throw new Error('label');
        made += 1;
      }
    }),
    { numRuns: 500 },
  );
  t.ok(made > 100, `${made} moves`);
});

t.test('what was moved is not moved back: with the load as it is, rounds come to an end', async () => {
  fc.assert(
    fc.property(cluster, (start) => {
      let nodes: readonly NodeLoad[] = start;
      let state = balanceState.parse(longAgo);
      for (let round = 1; ; round++) {
        const nowMs = later * round;
        const balance = judgeBalance(state, nodes, options, nowMs);
        if (balance.verdict !== 'act') return;
        if (round > 20) throw new Error('it goes on for ever');
        state = balance.moves.reduce((all, { workload }) => noteMove(all, workload, nowMs), balance.state);
        nodes = after(nodes, balance.moves);
      }
    }),
    { numRuns: 300 },
  );
});

const busy = nodeWith(
  'a',
  Array.from({ length: 8 }, () => ({ cpus: 0.4, bytes: 10 })),
);
const idle = nodeWith('b', []);

t.test('it must be uneven for a while, and a load that swings around the mark is not', async (t) => {
  const look = (state: typeof longAgo | typeof neverBalanced, nodes: readonly NodeLoad[], nowMs: number) =>
    judgeBalance(state, nodes, options, nowMs);
  const first = look(neverBalanced, [busy, idle], 1_000);
  t.match(first, { verdict: 'not-for-long', state: { unevenSinceMs: 1_000 } });
  t.ok(first.moves.length > 0, 'what would be done is said all the same');
  t.equal(look(first.state, [busy, idle], 1_000 + options.sustainMs - 1).verdict, 'not-for-long');
  t.equal(look(first.state, [busy, idle], 1_000 + options.sustainMs).verdict, 'act');
  const between = nodeWith('a', [{ cpus: 0.8, bytes: 10 }]);
  t.equal(spreadOf([between, idle]), 0.2);
  t.equal(look(neverBalanced, [between, idle], 1_000).verdict, 'even', 'below the upper mark it does not begin');
  const still = look(first.state, [between, idle], 2_000);
  t.equal(still.state.unevenSinceMs, 1_000, 'above the lower mark it does not end');
  const even = look(first.state, [idle, nodeWith('a', [])], 2_000);
  t.match(even, { verdict: 'even', moves: [] });
  t.equal(even.state.unevenSinceMs, undefined);
});

t.test('after moves it cools down, all together and each workload', async (t) => {
  const moved = noteMove(longAgo, 'a0', later);
  const at = (nowMs: number) => judgeBalance(moved, [busy, idle], options, nowMs);
  t.equal(at(later + options.coolDownMs - 1).verdict, 'cooling-down');
  t.notOk(at(later + options.coolDownMs - 1).moves.some(({ workload }) => workload === 'a0'));
  t.equal(at(later + options.coolDownMs).verdict, 'act');
});

t.test('a node that is being emptied gets nothing and gives nothing', async (t) => {
  t.equal(judgeBalance(longAgo, [busy, { ...idle, evacuating: true }], options, later).verdict, 'no-move-helps');
  t.equal(judgeBalance(longAgo, [{ ...busy, evacuating: true }, idle], options, later).verdict, 'no-move-helps');
});

t.test('one workload that is the whole load is left where it is', async (t) => {
  const one = nodeWith('a', [{ cpus: 4, bytes: 100 }]);
  t.match(judgeBalance(longAgo, [one, idle], options, later), { verdict: 'no-move-helps', moves: [], spread: 1 });
});
