import fc from 'fast-check';
import t from 'tap';
import type { EndCode } from '../../../shim/link/errors.js';
import type { StreamId } from '../../../shim/link/frame.js';
import { type End, Pair } from './pair.js';

/**
 * Any order of opening, sending, ending, breaking off, slow next hops, partial deliveries, cuts and binds. After every step
 * what arrived is the beginning of what was sent; when faults stop, all of it has arrived once, or both ends know better.
 * HOLDFAST_SEED, HOLDFAST_PATH repeat a run (both are printed by a failure), HOLDFAST_RUNS makes it longer.
 */

type Way = 'up' | 'down';
type Step =
  | { readonly op: 'open' }
  | { readonly op: 'send'; readonly way: Way; readonly pick: number; readonly bytes: number }
  | { readonly op: 'end'; readonly way: Way; readonly pick: number; readonly code: EndCode }
  | { readonly op: 'hop'; readonly way: Way; readonly eager: boolean }
  | { readonly op: 'move'; readonly bytes: number; readonly chunk: number }
  | { readonly op: 'cut' }
  | { readonly op: 'bind'; readonly lost: 'answer' | 'confirm' | undefined };

const way = fc.constantFrom<Way>('up', 'down');
const pick = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ op: fc.constant('open' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({ op: fc.constant('send' as const), way, pick, bytes: fc.integer({ min: 1, max: 150 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('end' as const),
      way,
      pick,
      code: fc.constantFrom<EndCode>('closed', 'closed', 'lost'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('hop' as const), way, eager: fc.boolean() }) },
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('move' as const),
      bytes: fc.integer({ min: 1, max: 300 }),
      chunk: fc.integer({ min: 1, max: 60 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('cut' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('bind' as const),
      lost: fc.constantFrom(undefined, undefined, 'answer' as const, 'confirm' as const),
    }),
  },
);

const windowBytes = 128;
const seen = { cuts: 0, binds: 0, lostHandshakes: 0, replayed: 0, aborted: 0, finished: 0 };

class Run {
  readonly pair = new Pair({ windowBytes, frameBytesMax: 50, streamsMax: 8 });
  readonly ids: StreamId[] = [];
  readonly sent = new Map<string, Buffer>();
  readonly ended = new Map<string, EndCode[]>();
  #counter = 0;

  take(step: Step): void {
    const { pair } = this;
    switch (step.op) {
      case 'open':
        if (pair.shim.link.streamCount < 4) this.ids.push(pair.shim.link.open());
        break;
      case 'send':
        this.#onStream(step.way, step.pick, (id, key) => {
          if (this.ended.has(key) || this.#broken(id)) return;
          const bytes = Buffer.from(Array.from({ length: step.bytes }, () => this.#counter++ % 251));
          this.sent.set(key, Buffer.concat([this.sent.get(key) ?? Buffer.alloc(0), bytes]));
          this.#sender(step.way).link.send(id, bytes);
        });
        break;
      case 'end':
        this.#onStream(step.way, step.pick, (id, key) => {
          if (this.#broken(id)) return;
          const codes = this.ended.get(key) ?? [];
          if (codes.at(-1) === 'lost' || (codes.length > 0 && step.code === 'closed')) return;
          this.ended.set(key, [...codes, step.code]);
          this.#sender(step.way).link.end(id, step.code);
        });
        break;
      case 'hop':
        this.#receiver(step.way).eager = step.eager;
        break;
      case 'move': {
        const { up, down } = pair.moved;
        if (!pair.pump({ chunkBytes: step.chunk, up: up + step.bytes, down: down + step.bytes })) this.#cut();
        break;
      }
      case 'cut':
        this.#cut();
        break;
      case 'bind':
        this.#bind(step.lost);
        break;
    }
    this.check();
  }

  /** Faults stop: everything still to come, comes. */
  heal(): void {
    this.#cut();
    this.#bind();
    for (const end of [this.pair.shim, this.pair.proxy]) end.eager = true;
    for (let i = 0; i < 50; i += 1) {
      for (const end of [this.pair.shim, this.pair.proxy]) for (const id of end.arrived.keys()) end.consume(id);
      this.pair.pump({ chunkBytes: 1000 });
    }
    this.check();
    for (const id of this.ids) this.#settled(id);
  }

  check(): void {
    for (const id of this.ids) {
      for (const way of ['up', 'down'] as const) {
        const arrived = this.#receiver(way).bytes(id);
        const sent = this.sent.get(`${way} ${id}`) ?? Buffer.alloc(0);
        if (!sent.subarray(0, arrived.length).equals(arrived)) throw new Error(`${way} ${id}: not what was sent`);
      }
    }
    for (const end of [this.pair.shim, this.pair.proxy]) {
      if (end.link.counters.violations > 0) throw new Error('a rule was broken by our own ends');
      const unread = end.link.snapshot().find((state) => state.received - state.consumed > windowBytes + 2);
      if (unread !== undefined) throw new Error(`stream ${unread.id} holds more than the window`);
    }
  }

  #settled(id: StreamId): void {
    const broken = this.#broken(id);
    for (const way of ['up', 'down'] as const) {
      const arrived = this.#receiver(way).bytes(id).length;
      const sent = this.sent.get(`${way} ${id}`)?.length ?? 0;
      if (!broken && arrived !== sent) throw new Error(`${way} ${id}: ${arrived} of ${sent} bytes arrived`);
      const codes = this.ended.get(`${way} ${id}`) ?? [];
      const heard = this.#receiver(way).endings.get(id) ?? [];
      if (!broken && codes.length > 0 && heard.join() !== 'closed')
        throw new Error(`${way} ${id}: heard ${heard.join()}`);
    }
    const open = [this.pair.shim, this.pair.proxy].filter((end) =>
      end.link.snapshot().some((state) => state.id === id),
    );
    const bothEnded = this.ended.has(`up ${id}`) && this.ended.has(`down ${id}`);
    if ((broken || bothEnded) && open.length > 0) throw new Error(`stream ${id} is not over`);
    if (broken) {
      seen.aborted += 1;
      const up = this.ended.get(`up ${id}`)?.includes('lost') === true;
      const told = up ? this.pair.proxy : this.pair.shim;
      if (told.endings.get(id)?.at(-1) === undefined) throw new Error(`stream ${id} was broken off and nobody said so`);
    } else if (bothEnded) seen.finished += 1;
  }

  #cut(): void {
    seen.cuts += 1;
    this.pair.cut();
  }

  #bind(lost?: 'answer' | 'confirm'): void {
    this.pair.cut();
    const before = this.pair.shim.link.counters.replayedBytes + this.pair.proxy.link.counters.replayedBytes;
    const verdict = this.pair.bind(lost);
    if (verdict !== undefined) throw new Error(`refused: ${verdict}`);
    seen.binds += 1;
    if (lost !== undefined) seen.lostHandshakes += 1;
    seen.replayed += this.pair.shim.link.counters.replayedBytes + this.pair.proxy.link.counters.replayedBytes - before;
  }

  #broken(id: StreamId): boolean {
    return (['up', 'down'] as const).some((way) => this.ended.get(`${way} ${id}`)?.includes('lost') === true);
  }

  #onStream(way: Way, pick: number, act: (id: StreamId, key: string) => void): void {
    const id = this.ids.at(-1 - (pick % Math.max(1, this.ids.length)));
    // The proxy can only speak on streams it has heard of.
    if (id === undefined || (way === 'down' && !this.pair.proxy.arrived.has(id))) return;
    act(id, `${way} ${id}`);
  }

  #sender(way: Way): End {
    return way === 'up' ? this.pair.shim : this.pair.proxy;
  }
  #receiver(way: Way): End {
    return way === 'up' ? this.pair.proxy : this.pair.shim;
  }
}

t.test(
  'over any schedule of faults everything arrives once and in order, or both ends see the stream end',
  async (t) => {
    const { HOLDFAST_SEED: seed, HOLDFAST_PATH: path, HOLDFAST_RUNS: runs } = process.env;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const run = new Run();
        run.pair.bind();
        for (const each of steps) run.take(each);
        run.heal();
      }),
      {
        numRuns: Number(runs ?? 3_000),
        ...(seed === undefined ? {} : { seed: Number(seed) }),
        ...(path === undefined ? {} : { path }),
      },
    );
    t.comment(JSON.stringify(seen));
    for (const [what, count] of Object.entries(seen)) t.ok(count > 20, `${what} really happened: ${count}`);
  },
);
