import fc from 'fast-check';
import t from 'tap';
import { Ledger } from '../../proxy/ledger.js';
import { defaultProxyLimits } from '../../proxy/limits.js';
import { type Memory, openMemory, Pool, type PoolLimits, type Share, type Source } from '../../proxy/memory.js';

const piece = 100;

/** Time that a test turns by hand. */
class TestClock {
  readonly #soon: (() => void)[] = [];
  readonly #later: (() => void)[] = [];

  soon(call: () => void): void {
    this.#soon.push(call);
  }
  after(_ms: number, call: () => void): () => void {
    this.#later.push(call);
    return () => void this.#later.splice(this.#later.indexOf(call), 1);
  }
  /** One turn of the event loop. False: nothing was planned. */
  turn(): boolean {
    const calls = this.#soon.splice(0);
    for (const call of calls) call();
    return calls.length > 0;
  }
  tick(): void {
    for (const call of this.#later.splice(0)) call();
  }
}

/** Something that has a lot to say, and says a piece whenever it is read. */
class TestSource {
  readonly source: Source;
  isOpen = true;
  read = 0;

  constructor(share: Share) {
    this.source = share.open({
      pause: () => {
        this.isOpen = false;
      },
      resume: () => {
        this.isOpen = true;
      },
    });
  }
  /** What the kernel has is read, if anybody reads. */
  say(bytes = piece): boolean {
    if (!this.isOpen) return false;
    this.read += bytes;
    this.source.add(bytes);
    return true;
  }
}

function poolOf(limits: Partial<PoolLimits> = {}): { pool: Pool; clock: TestClock } {
  const clock = new TestClock();
  const bounds = { workloadBytesMax: 1_000, processBytesMax: 10_000, pieceBytes: piece, ...limits };
  return { pool: new Pool(bounds, clock), clock };
}

function workload(pool: Pool, sources: number, isBound: boolean): { share: Share; sources: TestSource[] } {
  const share = pool.share();
  share.setBound(isBound);
  return { share, sources: Array.from({ length: sources }, () => new TestSource(share)) };
}

/** Everybody says what he has, until nobody is read any more. */
function sayAll(clock: TestClock, sources: readonly TestSource[]): void {
  for (let isMore = true; isMore; ) {
    isMore = false;
    for (const each of sources) if (each.say()) isMore = true;
    if (clock.turn()) isMore = true;
  }
}

t.test('a held workload is read up to its bound, and not a piece further by any of its sessions', async (t) => {
  const { pool, clock } = poolOf();
  const { sources } = workload(pool, 50, false);
  sayAll(clock, sources);
  t.equal(pool.bytes, 1_000);
  t.ok(sources.every(({ isOpen }) => !isOpen));
});

t.test('all held workloads together are read up to half of what the process may keep', async (t) => {
  const { pool, clock } = poolOf();
  const held = Array.from({ length: 20 }, () => workload(pool, 10, false));
  sayAll(
    clock,
    held.flatMap(({ sources }) => sources),
  );
  t.equal(pool.bytes, 5_000);
  const bound = workload(pool, 10, true);
  sayAll(clock, bound.sources);
  t.ok(bound.share.bytes >= 1_000, 'the other half is there for those that work');
  t.ok(bound.share.bytes <= 1_000 + 10 * piece, 'and a piece for each of their sources');
});

t.test('beyond every bound a bound source that has nothing kept is read, one piece', async (t) => {
  const { pool, clock } = poolOf({ processBytesMax: 1_000, workloadBytesMax: 1_000 });
  const hog = workload(pool, 1, true);
  sayAll(clock, hog.sources);
  t.equal(pool.bytes, 1_000);
  const { sources } = workload(pool, 3, true);
  const [one, other] = sources;
  sayAll(clock, sources);
  t.strictSame(
    sources.map(({ read }) => read),
    [piece, piece, piece],
  );
  one?.source.remove(piece);
  sayAll(clock, sources);
  t.match({ one: one?.read, other: other?.read }, { one: piece * 2, other: piece }, 'a piece for a piece');
});

t.test('who is bound again is read at once, however much is kept', async (t) => {
  const { pool, clock } = poolOf({ processBytesMax: 1_000, workloadBytesMax: 1_000 });
  const { share, sources } = workload(pool, 20, false);
  sayAll(clock, sources);
  const silent = sources.filter(({ read }) => read === 0);
  t.equal(silent.length, 15);
  share.setBound(true);
  t.ok(silent.every(({ isOpen }) => isOpen));
});

t.test('those who had to stop go on in turn, and nobody is left', async (t) => {
  const { pool, clock } = poolOf({ processBytesMax: 2_000, workloadBytesMax: 10_000 });
  const workloads = [workload(pool, 8, true), workload(pool, 8, true), workload(pool, 8, true)];
  const all = workloads.flatMap(({ sources }) => sources);
  sayAll(clock, all);
  t.ok(all.every(({ isOpen }) => !isOpen));
  const before = all.map(({ read }) => read);
  // The shims take it all, a little at a time.
  for (let round = 0; round < 200; round += 1) {
    const most = all.reduce((best, each) => (each.source.bytes > best.source.bytes ? each : best));
    most.source.remove(Math.min(most.source.bytes, 50));
    clock.turn();
    for (const each of all) each.say();
    if (pool.bytes > 2_000 + all.length * piece) t.fail(`${pool.bytes} bytes kept`);
  }
  const gained = all.map(({ read }, index) => read - (before[index] ?? 0));
  t.ok(Math.min(...gained) > 0, `everybody was read again: ${gained}`);
});

for (const whose of ['process', 'workload'] as const) {
  t.test(
    `room of the ${whose} that is given to one with nothing to say goes to the next in the next turn`,
    async (t) => {
      const plenty = { processBytesMax: 1_000_000, workloadBytesMax: 1_000_000 };
      const { pool, clock } = poolOf({ ...plenty, [`${whose}BytesMax`]: 1_000 });
      const { share, sources } = workload(pool, 30, false);
      sayAll(clock, sources);
      share.setBound(true);
      share.setBound(false);
      t.ok(sources.every(({ isOpen }) => !isOpen));
      const talker = sources.find(({ read }) => read > 0);
      talker?.source.remove(150);
      let turns = 0;
      while (clock.turn()) turns += 1;
      t.ok(
        sources.every(({ isOpen }) => isOpen),
        'all are read: nobody said a word',
      );
      t.ok(turns > 10 && turns < 31, `not all at once: ${turns} turns`);
    },
  );
}

t.test('a full window stops a source too, and both reasons have to go', async (t) => {
  const { pool, clock } = poolOf();
  const { share, sources } = workload(pool, 1, false);
  const [one] = sources;
  sayAll(clock, sources);
  one?.source.setFull(true);
  share.setBound(true);
  one?.source.remove(1_000);
  while (clock.turn());
  t.equal(one?.isOpen, false, 'the window is full still');
  one?.source.setFull(false);
  t.equal(one?.isOpen, true);
});

t.test('a stopped link is read a piece a second: what makes room may lie behind', async (t) => {
  const { pool, clock } = poolOf({ trickleMs: 1_000 });
  const { sources } = workload(pool, 1, true);
  const [link] = sources;
  sayAll(clock, sources);
  t.equal(link?.read, 1_000);
  for (let second = 1; second < 5; second += 1) {
    clock.tick();
    sayAll(clock, sources);
    t.equal(link?.read, 1_000 + second * piece);
  }
  link?.source.remove(1_400);
  while (clock.turn());
  sayAll(clock, sources);
  t.equal(link?.source.bytes, 1_000);
});

t.test('what is over takes nothing with it', async (t) => {
  const clock = new TestClock();
  const memory: Memory = openMemory(defaultProxyLimits, clock);
  const reading: boolean[] = [];
  const ledger = new Ledger(memory, { pause: () => reading.push(false), resume: () => reading.push(true) });
  const database = { pause: () => undefined, resume: () => undefined };
  const [one, other] = [ledger.open(database), ledger.open(database)];
  one.stored(500, false);
  other.stored(700, true);
  other.received(defaultProxyLimits.workloadBytesMax);
  t.strictSame(reading, [false], 'the link is stopped');
  one.received(10);
  one.taken(4);
  one.close();
  t.match({ down: memory.fromDatabases.bytes, up: memory.fromShims.bytes }, { down: 700, up: 64 * 1024 * 1024 });
  other.close();
  t.strictSame(reading, [false, true]);
  ledger.open(database).stored(900, false);
  ledger.close();
  t.match({ down: memory.fromDatabases.bytes, up: memory.fromShims.bytes }, { down: 0, up: 0 });
});

t.test('a new link of a stopped workload is read: its first frames are the handshake', async (t) => {
  const memory = openMemory(defaultProxyLimits, new TestClock());
  let isRead = true;
  const link = {
    pause: () => {
      isRead = false;
    },
    resume: () => {
      isRead = true;
    },
  };
  const ledger = new Ledger(memory, link);
  const session = ledger.open({ pause: () => undefined, resume: () => undefined });
  session.received(defaultProxyLimits.workloadBytesMax);
  t.equal(isRead, false);
  ledger.held();
  ledger.bound();
  t.equal(isRead, true);
  session.received(1);
  t.equal(isRead, false, 'and stopped with the next piece');
});

/** What can happen, as numbers that fast-check can make smaller. */
const happening = fc.record({
  who: fc.nat(39),
  what: fc.constantFrom('say', 'say', 'say', 'take', 'turn', 'bind', 'hold'),
  bytes: fc.integer({ min: 1, max: piece }),
});

t.test('whatever happens, a pool keeps its bounds, and when all is taken everybody is read', async (t) => {
  const limits = { workloadBytesMax: 1_500, processBytesMax: 4_000 };
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 400 }), (happenings) => {
      const { pool, clock } = poolOf(limits);
      const workloads = Array.from({ length: 4 }, () => workload(pool, 10, false));
      const all = workloads.flatMap(({ sources }) => sources);
      const everBound = new Set<number>();
      for (const { who, what, bytes } of happenings) {
        const [one, index] = [all[who], Math.floor(who / 10)];
        if (what === 'say') one?.say(bytes);
        else if (what === 'take') one?.source.remove(Math.min(bytes, one.source.bytes));
        else if (what === 'turn') clock.turn();
        else workloads[index]?.share.setBound(what === 'bind');
        if (what === 'bind') everBound.add(index);
        const over = everBound.size * 10 * piece + piece * 10;
        if (pool.bytes > limits.processBytesMax + over) throw new Error(`${pool.bytes} bytes kept`);
        if (everBound.size === 0 && pool.bytes > limits.processBytesMax / 2 + piece) throw new Error('held: too many');
      }
      for (const { share } of workloads) share.setBound(true);
      for (const each of all) each.source.remove(each.source.bytes);
      for (let turns = 0; clock.turn(); turns += 1) if (turns > 100) throw new Error('turns without end');
      if (pool.bytes !== 0) throw new Error(`${pool.bytes} bytes are left`);
      if (!all.every(({ isOpen }) => isOpen)) throw new Error('somebody is forgotten');
    }),
    { numRuns: 300 },
  );
  t.pass();
});
