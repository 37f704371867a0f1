import t from 'tap';
import type { StreamId } from '../../../shim/link/frame.js';
import { Pair } from './pair.js';

const text = (length: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 7 + seed) % 251));

/** A conversation of two streams: requests and answers, a long one that fills the window, half-close both ways. */
interface Talk {
  readonly up: readonly [Buffer, Buffer];
  readonly down: readonly [Buffer, Buffer];
}
const talk: Talk = { up: [text(300, 1), text(90, 2)], down: [text(150, 3), text(500, 4)] };

function say(pair: Pair): [StreamId, StreamId] {
  const ids: [StreamId, StreamId] = [pair.shim.link.open(), pair.shim.link.open()];
  for (const [i, id] of ids.entries()) {
    const bytes = talk.up[i as 0 | 1];
    for (let at = 0; at < bytes.length; at += 45) pair.shim.link.send(id, bytes.subarray(at, at + 45));
    pair.shim.link.end(id, 'closed');
  }
  return ids;
}

function answer(pair: Pair, ids: readonly StreamId[]): void {
  for (const [i, id] of ids.entries()) {
    pair.proxy.link.send(id, talk.down[i as 0 | 1]);
    pair.proxy.link.end(id, 'closed');
  }
}

/**
 * Runs the talk; `up`/`down` end the first link after so many bytes. With `lazy` next hops bytes that arrived on the first
 * link reach them only after the second bind: they are received and not yet acknowledged when the handshake compares.
 */
function converse(cut: { up?: number; down?: number }, lazy = false): Pair {
  const pair = new Pair({ windowBytes: 128, frameBytesMax: 50 });
  pair.bind();
  pair.shim.eager = !lazy;
  pair.proxy.eager = !lazy;
  const ids = say(pair);
  let answered = false;
  const go = (limits: { up?: number; down?: number }): boolean => {
    for (;;) {
      const done = pair.pump(limits);
      if (!done) return false;
      // Lazy next hops stop both sides at their windows: the link is cut there at the latest.
      if (answered || pair.proxy.arrived.size < 2) return pair.proxy.eager;
      answered = true;
      answer(pair, ids);
    }
  };
  if (!go(cut)) {
    pair.cut();
    if (!answered && pair.proxy.arrived.size === 2) {
      answered = true;
      answer(pair, ids);
    }
    pair.bind();
    for (const end of [pair.shim, pair.proxy]) {
      end.eager = true;
      for (const id of end.arrived.keys()) end.consume(id);
    }
    go({});
  }
  return pair;
}

function everythingArrivedOnce(pair: Pair): string | undefined {
  for (const i of [0, 1] as const) {
    const id = (i + 1) as StreamId;
    if (!pair.proxy.bytes(id).equals(talk.up[i])) return `up ${id}: ${pair.proxy.bytes(id).length} bytes`;
    if (!pair.shim.bytes(id).equals(talk.down[i])) return `down ${id}: ${pair.shim.bytes(id).length} bytes`;
    if (pair.proxy.endings.get(id)?.[0] !== 'closed' || pair.shim.endings.get(id)?.[0] !== 'closed')
      return `end of ${id}`;
  }
  if (pair.shim.link.streamCount + pair.proxy.link.streamCount > 0) return 'a stream was not forgotten';
  if (pair.shim.link.storedBytes + pair.proxy.link.storedBytes > 0) return 'bytes are still stored';
  return undefined;
}

t.test('a conversation without a cut arrives whole, once, and leaves nothing behind', async (t) => {
  const pair = converse({});
  t.equal(everythingArrivedOnce(pair), undefined);
  t.equal(pair.shim.link.counters.replayedBytes, 0);
});

t.test('cut after every byte of either direction, the conversation still arrives whole and once', async (t) => {
  const whole = converse({}).moved;
  t.ok(whole.up > 500 && whole.down > 700, 'the conversation is long enough to mean something');
  for (const lazy of [false, true]) {
    const replayed = { up: 0, down: 0 };
    for (const way of ['up', 'down'] as const) {
      for (let at = 1; at < whole[way]; at += 1) {
        const pair = converse({ [way]: at }, lazy);
        const wrong = everythingArrivedOnce(pair);
        if (wrong !== undefined) t.fail(`${way} cut after ${at}, ${lazy ? 'lazy' : 'eager'} next hops: ${wrong}`);
        replayed.up += pair.shim.link.counters.replayedBytes;
        replayed.down += pair.proxy.link.counters.replayedBytes;
      }
    }
    t.ok(replayed.up > 0 && replayed.down > 0, 'bytes were really sent a second time');
  }
});

t.test('a sender never has more than the window unacknowledged, and goes on when acknowledged', async (t) => {
  const pair = new Pair({ windowBytes: 100 });
  pair.bind();
  const id = pair.shim.link.open();
  t.equal(pair.shim.link.send(id, text(60, 0)), true);
  t.equal(pair.shim.link.send(id, text(140, 60)), false, 'the owner is told to stop');
  pair.proxy.eager = false;
  pair.pump();
  t.equal(pair.proxy.bytes(id).length, 100);
  pair.proxy.consume(id);
  pair.pump();
  t.equal(pair.proxy.bytes(id).length, 200);
  pair.proxy.consume(id);
  pair.pump();
  t.same(pair.shim.rooms, [id], 'the owner is told once that there is room');
  t.equal(pair.shim.link.storedBytes, 0);
});

t.test('bytes stay stored until the peer says that they reached the next hop', async (t) => {
  const pair = new Pair();
  pair.bind();
  const id = pair.shim.link.open();
  pair.proxy.eager = false;
  pair.shim.link.send(id, text(80, 0));
  pair.pump();
  t.equal(pair.proxy.bytes(id).length, 80);
  t.equal(pair.shim.link.storedBytes, 80);
  pair.cut();
  pair.bind();
  t.equal(pair.shim.link.storedBytes, 80, 'a bind is no acknowledgement either');
  pair.proxy.consume(id);
  pair.pump();
  t.equal(pair.shim.link.storedBytes, 0);
});

t.test('a busy stream does not keep a quiet one waiting for more than its turn', async (t) => {
  const pair = new Pair({ frameBytesMax: 100 });
  pair.bind();
  const busy = pair.shim.link.open();
  const quiet = pair.shim.link.open();
  pair.shim.link.send(busy, text(10_000, 0));
  pair.shim.link.send(quiet, text(10, 0));
  const batch = Buffer.alloc(400);
  pair.proxy.decoder.push(batch.subarray(0, pair.shim.link.collect(batch)), pair.proxy);
  t.equal(pair.proxy.bytes(quiet).length, 10);
});

t.test('what is consumed while a handshake is under way is acknowledged after it', async (t) => {
  const pair = new Pair({ windowBytes: 100 });
  pair.bind();
  const id = pair.shim.link.open();
  pair.pump();
  pair.shim.eager = false;
  pair.proxy.link.send(id, text(150, 0));
  pair.pump();
  pair.cut();
  const asTold = pair.shim.link.account();
  pair.shim.consume(id);
  pair.proxy.link.resume(asTold);
  pair.shim.link.resume(pair.proxy.link.account());
  pair.pump();
  t.equal(pair.shim.bytes(id).length, 150, 'the sender got its credit back');
});

t.test('a stream that is opened while a handshake is under way is opened on the link that comes of it', async (t) => {
  const pair = new Pair();
  const early = pair.shim.link.open();
  const asTold = pair.shim.link.account();
  const during = pair.shim.link.open();
  pair.shim.link.send(during, text(20, 0));
  const broken = pair.shim.link.open();
  pair.shim.link.end(broken, 'lost');
  pair.proxy.link.resume(asTold);
  pair.shim.link.resume(pair.proxy.link.account());
  pair.pump();
  t.strictSame(pair.shim.forgotten, [broken], 'the peer had no reason to end any');
  t.strictSame([...pair.proxy.arrived.keys()], [early, during, broken], 'in the order in which they were opened');
  t.equal(pair.proxy.bytes(during).length, 20);
  t.strictSame(pair.proxy.endings.get(broken), ['lost']);
});

t.test('what was consumed without a link does not keep later acknowledgements from being flushed', async (t) => {
  const pair = new Pair({ windowBytes: 100 });
  pair.bind();
  const id = pair.shim.link.open();
  pair.proxy.eager = false;
  pair.shim.link.send(id, text(5, 0));
  pair.pump();
  pair.cut();
  pair.proxy.consume(id);
  const waiting = pair.proxy.acksWaiting;
  pair.bind();
  pair.pump();
  pair.proxy.eager = true;
  pair.shim.link.send(id, text(5, 5));
  pair.pump();
  t.ok(pair.proxy.acksWaiting > waiting, 'the owner is told that acknowledgements wait');
  t.equal(pair.shim.link.storedBytes, 0);
});

t.test('an abort ends both directions after the bytes before it, also over a cut', async (t) => {
  const pair = new Pair();
  pair.bind();
  const id = pair.shim.link.open();
  pair.shim.link.send(id, text(30, 0));
  pair.pump();
  pair.cut();
  pair.proxy.link.send(id, text(20, 0));
  pair.proxy.link.end(id, 'lost');
  pair.bind();
  pair.pump();
  t.equal(pair.shim.bytes(id).length, 20);
  t.same(pair.shim.endings.get(id), ['lost']);
  t.equal(pair.shim.link.streamCount + pair.proxy.link.streamCount, 0);
});

t.test('a stream that both ends break off at the same time is over and leaves nothing behind', async (t) => {
  for (const [cut, windowBytes] of [
    [false, 1000],
    [true, 1000],
    [false, 8],
    [true, 8],
  ] as const) {
    const pair = new Pair({ windowBytes });
    pair.bind();
    const id = pair.shim.link.open();
    pair.pump();
    if (cut) pair.cut();
    pair.shim.link.send(id, text(20, 0));
    pair.proxy.link.send(id, text(30, 0));
    pair.shim.link.end(id, 'lost');
    pair.proxy.link.end(id, 'lost');
    if (cut) pair.bind();
    pair.pump();
    t.equal(pair.shim.link.streamCount + pair.proxy.link.streamCount, 0);
    t.equal(pair.shim.link.storedBytes + pair.proxy.link.storedBytes, 0);
    t.equal(pair.shim.link.counters.violations + pair.proxy.link.counters.violations, 0);
  }
});

t.test('a driver that closed in order and then broke ends the stream for both', async (t) => {
  for (const cut of [false, true]) {
    const pair = new Pair();
    pair.bind();
    const id = pair.shim.link.open();
    pair.shim.link.end(id, 'closed');
    pair.pump();
    if (cut) pair.cut();
    pair.shim.link.end(id, 'lost');
    if (cut) pair.bind();
    pair.pump();
    t.same(pair.proxy.endings.get(id), ['closed', 'lost'], cut ? 'with a cut between' : 'without a cut');
    t.equal(pair.shim.link.streamCount + pair.proxy.link.streamCount, 0);
  }
});

t.test('a stream that ended at the peer while the link was down ends here at the bind', async (t) => {
  const pair = new Pair();
  pair.bind();
  const id = pair.shim.link.open();
  pair.pump();
  pair.cut();
  pair.shim.link.resume({ ...pair.proxy.link.account(), streams: [] });
  t.same(pair.shim.endings.get(id), ['forgotten']);
  t.same(pair.shim.forgotten, [id]);
});

t.test('what breaks the rules ends its stream with a code, the others go on', async (t) => {
  const rules: [string, (pair: Pair, id: StreamId) => void][] = [
    ['gap', (pair, id) => pair.proxy.link.dataFrame(id, 11, text(5, 0))],
    ['overlap', (pair, id) => pair.proxy.link.dataFrame(id, 9, text(5, 0))],
    ['window-exceeded', (pair, id) => pair.proxy.link.dataFrame(id, 10, text(101, 0))],
    ['ack-beyond-sent', (pair, id) => pair.proxy.link.ackFrame(id, 1)],
  ];
  for (const [code, break_] of rules) {
    const pair = new Pair({ windowBytes: 100 });
    pair.bind();
    const id = pair.shim.link.open();
    const other = pair.shim.link.open();
    pair.shim.link.send(id, text(10, 0));
    pair.pump();
    break_(pair, id);
    pair.shim.link.send(other, text(10, 0));
    pair.pump();
    t.same(pair.proxy.endings.get(id), [code], `${code}: the proxy's owner hears of it`);
    t.same(pair.shim.endings.get(id), [code], `${code}: so does the shim's`);
    t.equal(pair.proxy.bytes(other).length, 10, `${code}: the other stream goes on`);
    t.equal(pair.proxy.link.counters.violations, 1);
  }
});

t.test('the limit of streams is kept at both ends', async (t) => {
  const pair = new Pair({ streamsMax: 2 });
  pair.bind();
  pair.shim.link.open();
  pair.shim.link.open();
  t.throws(() => pair.shim.link.open(), { code: 'link-streams-exhausted' });
  pair.pump();
  t.throws(() => pair.proxy.link.openFrame(3 as StreamId), { code: 'link-streams-exhausted' });
});

t.test(
  'frames for streams never opened are refused, those for streams already over are counted and dropped',
  async (t) => {
    const pair = new Pair();
    pair.bind();
    t.throws(() => pair.proxy.link.dataFrame(1 as StreamId, 0, text(1, 0)), { code: 'link-unexpected-frame' });
    const id = pair.shim.link.open();
    pair.shim.link.end(id, 'lost');
    pair.pump();
    pair.proxy.link.dataFrame(id, 0, text(1, 0));
    t.equal(pair.proxy.link.counters.lateFrames, 1);
    t.throws(() => pair.shim.link.openFrame(5 as StreamId), { code: 'link-unexpected-frame' }, 'only the shim opens');
  },
);

t.test('two binds with one token: the second is stale; an older image of the shim is rewound', async (t) => {
  const pair = new Pair();
  pair.bind();
  const id = pair.shim.link.open();
  pair.shim.link.send(id, text(10, 0));
  const image = { epoch: pair.epoch, token: pair.token };
  pair.pump();
  pair.cut();
  t.equal(pair.bind(), undefined);
  const now = { epoch: pair.epoch, token: pair.token };
  Object.assign(pair, image);
  t.equal(pair.bind(), 'stale-epoch');
  Object.assign(pair, now, { token: Buffer.alloc(32) });
  t.equal(pair.bind(), 'not-authorised');
  Object.assign(pair, now);
  const rewound = new Pair();
  rewound.bind();
  rewound.shim.link.open();
  Object.assign(pair, { shim: rewound.shim });
  t.equal(pair.bind(), 'peer-rewound', 'the shim has forgotten that it sent ten bytes');
});
