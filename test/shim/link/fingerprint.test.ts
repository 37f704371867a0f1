import t from 'tap';
import { Fingerprint, partBytes, type Range, stretchBytes, wholeBytes } from '../../../shim/link/fingerprint.js';
import type { StreamId } from '../../../shim/link/frame.js';
import { Link } from '../../../shim/link/link.js';
import { pattern } from './bytes.js';
import { Pair } from './pair.js';

const long = wholeBytes + 2 * stretchBytes + 3 * partBytes;

function rangeOf(bytes: Buffer, chunkBytes = bytes.length): Range | undefined {
  const fingerprint = new Fingerprint(0);
  for (let at = 0; at < bytes.length; at += chunkBytes) fingerprint.add(bytes.subarray(at, at + chunkBytes));
  fingerprint.close();
  return fingerprint.closed;
}

t.test('however bytes are cut into chunks, they have one hash', async (t) => {
  const bytes = pattern(1, long);
  const whole = rangeOf(bytes);
  t.match(whole, { from: 0, to: long });
  for (const chunkBytes of [7, 1_000, partBytes, 16_384, stretchBytes + 1]) t.same(rangeOf(bytes, chunkBytes), whole);
  const inside = new Fingerprint(0);
  inside.add(Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')]), 6, 6 + long);
  inside.close();
  t.same(inside.closed, whole, 'as a part of a chunk');
});

t.test('another byte, one that is missing, and one that is there twice make another hash', async (t) => {
  const bytes = pattern(1, long);
  const right = rangeOf(bytes)?.crc;
  for (const at of [0, 100, wholeBytes - 1, wholeBytes, wholeBytes + stretchBytes + partBytes - 1]) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    t.not(rangeOf(flipped)?.crc, right, `flipped at ${at}`);
  }
  for (const at of [0, wholeBytes - 1, wholeBytes + partBytes + 1]) {
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    t.not(rangeOf(Buffer.concat([before, after.subarray(1), Buffer.alloc(1)]))?.crc, right, `missing at ${at}`);
    t.not(rangeOf(Buffer.concat([before, after.subarray(0, 1), after]))?.crc, right, `twice at ${at}`);
  }
  const between = Buffer.from(bytes);
  between[wholeBytes + partBytes] = (between[wholeBytes + partBytes] ?? 0) ^ 1;
  t.equal(rangeOf(between)?.crc, right, 'but for what lies between two parts');
});

t.test('a range without a byte leaves the one before it', async (t) => {
  const fingerprint = new Fingerprint(10);
  fingerprint.close();
  t.equal(fingerprint.closed, undefined);
  fingerprint.add(Buffer.from('abc'));
  fingerprint.close();
  const { closed } = fingerprint;
  t.match(closed, { from: 10, to: 13 });
  fingerprint.close();
  t.same(fingerprint.closed, closed);
  fingerprint.add(Buffer.from('d'));
  fingerprint.close();
  t.match(fingerprint.closed, { from: 13, to: 14 });
});

const limits = { windowBytes: 60, frameBytesMax: 16 };
const up = pattern(2, 300);
const down = pattern(3, 300);

interface Seen {
  readonly shim: Range | undefined;
  readonly proxy: Range | undefined;
}

function seen(pair: Pair, id: StreamId): { up: Seen; down: Seen } {
  const shim = pair.shim.link.fingerprintsOf(id);
  const proxy = pair.proxy.link.fingerprintsOf(id);
  return { up: { shim: shim?.sent, proxy: proxy?.received }, down: { shim: shim?.received, proxy: proxy?.sent } };
}

t.test(
  'after a cut at any byte both ends have the same range and the same hash, also when a handshake was lost',
  async (t) => {
    const wrong: string[] = [];
    let ranges = 0;
    for (const lost of [undefined, 'answer', 'confirm'] as const) {
      for (let budget = 30; budget < 500; budget += 7) {
        const pair = new Pair(limits);
        pair.bind();
        const id = pair.shim.link.open();
        pair.pump();
        for (const [cut, part] of [0, 100, 200].entries()) {
          pair.shim.link.send(id, up.subarray(part, part + 100));
          pair.proxy.link.send(id, down.subarray(part, part + 100));
          pair.pump({ up: pair.moved.up + budget, down: pair.moved.down + ((budget * 5) % 470) });
          pair.cut();
          if (lost !== undefined) pair.bind(lost);
          pair.bind();
          for (const [way, { shim, proxy }] of Object.entries(seen(pair, id))) {
            if (JSON.stringify(shim) !== JSON.stringify(proxy)) wrong.push(`${way}, ${lost}, ${budget}, cut ${cut}`);
            if (shim !== undefined) ranges += 1;
          }
        }
      }
    }
    t.same(wrong, []);
    t.ok(ranges > 800, `${ranges} ranges`);
  },
);

for (const [kind, change] of [
  ['flipped', (bytes: Buffer) => Buffer.from(bytes.map((byte, at) => (at === 50 ? byte ^ 1 : byte)))],
  ['dropped', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 50), bytes.subarray(51), Buffer.alloc(1)])],
  ['repeated', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 51), bytes.subarray(50, -1)])],
] as const) {
  t.test(`a byte that is ${kind} on the way makes two hashes of one range`, async (t) => {
    const pair = new Pair(limits);
    pair.bind();
    const id = pair.shim.link.open();
    pair.shim.link.send(id, up.subarray(0, 60));
    const arrives = pair.proxy.data.bind(pair.proxy);
    const all: Buffer[] = [];
    pair.proxy.data = (stream, _position, bytes) => {
      all.push(bytes);
      const soFar = Buffer.concat(all).length;
      if (soFar < 60) return;
      const spoilt = change(Buffer.concat(all));
      for (let at = 0; at < spoilt.length; at += 16) arrives(stream, at, spoilt.subarray(at, at + 16));
    };
    pair.pump();
    pair.cut();
    pair.bind();
    const { shim, proxy } = seen(pair, id).up;
    t.match(
      [shim, proxy],
      [
        { from: 0, to: 60 },
        { from: 0, to: 60 },
      ],
    );
    t.not(shim?.crc, proxy?.crc);
  });
}

t.test(
  'a process that takes over has seen what comes from then on, and agrees again from the second bind on',
  async (t) => {
    const pair = new Pair(limits);
    pair.bind();
    const id = pair.shim.link.open();
    pair.shim.link.send(id, up.subarray(0, 50));
    pair.pump();
    const [image, old] = [pair.proxy.link.imageOf(id), pair.proxy];
    if (image === undefined) throw new Error('no image');
    const next = new Pair(limits).proxy;
    t.type(next.link, Link);
    next.link.takeUp(old.link.image());
    next.link.takeUpStream({ ...image, consumed: 50, peerEnded: false });
    next.arrived.set(id, [Buffer.from(up.subarray(0, 50))]);
    pair.cut();
    pair.proxy = next;
    pair.bind();
    t.equal(seen(pair, id).up.proxy, undefined);
    pair.shim.link.send(id, up.subarray(50, 90));
    pair.pump();
    pair.cut();
    pair.bind();
    const { shim, proxy } = seen(pair, id).up;
    t.match(shim, { from: 50, to: 90 });
    t.same(shim, proxy);
  },
);
