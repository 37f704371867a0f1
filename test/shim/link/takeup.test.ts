/** A link that goes on in another process, from its image and what the next hop has. */
import t from 'tap';
import type { StreamId } from '../../../shim/link/frame.js';
import { pattern } from './bytes.js';
import { End, Pair } from './pair.js';

const limits = { windowBytes: 40, frameBytesMax: 16 };

/** The process of the proxy's end dies between two bytes, and another one has what that one had put down. */
function replace(pair: Pair): End {
  const old = pair.proxy;
  const next = new End('proxy', pair.limits);
  next.link.takeUp(old.link.image());
  for (const { id } of old.link.snapshot()) {
    const image = old.link.imageOf(id);
    if (image === undefined) throw new Error(`no image of stream ${id}`);
    const peerEnded = old.endings.get(id)?.includes('closed') ?? false;
    next.link.takeUpStream({ ...image, consumed: old.bytes(id).length, peerEnded });
  }
  for (const [id, chunks] of old.arrived) next.arrived.set(id, chunks);
  for (const [id, endings] of old.endings) next.endings.set(id, endings);
  next.forgotten.push(...old.forgotten);
  pair.shim.link.detach();
  pair.proxy = next;
  return next;
}

const up = { a: pattern(1, 90), b: pattern(2, 23) };
const down = { a: pattern(3, 75), b: pattern(4, 50) };

/** Two streams: bytes up, bytes down, ends in order both ways; killed after so many bytes. @returns whether it was */
function converse(kill: { up?: number; down?: number }): { readonly isKilled: boolean; readonly wrong: string[] } {
  const pair = new Pair(limits);
  let isKilled = false;
  const pump = (): void => {
    if (pair.pump(isKilled ? {} : kill)) return;
    isKilled = true;
    replace(pair);
    if (pair.bind() !== undefined) throw new Error('the shim was refused');
    pair.pump();
  };
  pair.bind();
  const [a, b] = [pair.shim.link.open(), pair.shim.link.open()];
  pair.shim.link.send(a, up.a);
  pair.shim.link.send(b, up.b);
  pump();
  pair.proxy.link.send(a, down.a);
  pair.proxy.link.send(b, down.b);
  pair.proxy.link.end(b, 'closed');
  pump();
  pair.shim.link.end(b, 'closed');
  pair.shim.link.end(a, 'closed');
  pump();
  pair.proxy.link.end(a, 'closed');
  pump();
  const { shim, proxy } = pair;
  const facts = {
    up: proxy.bytes(a).equals(up.a) && proxy.bytes(b).equals(up.b),
    down: shim.bytes(a).equals(down.a) && shim.bytes(b).equals(down.b),
    ends: [shim, proxy].every(({ endings }) => [a, b].every((id) => String(endings.get(id)) === 'closed')),
    forgotten: [shim, proxy].every(({ forgotten }) => [...forgotten].sort().join() === `${a},${b}`),
    empty: shim.link.storedBytes === 0 && proxy.link.storedBytes === 0 && proxy.link.streamCount === 0,
    rules: shim.link.counters.violations + proxy.link.counters.violations === 0,
  };
  return { isKilled, wrong: Object.entries(facts).flatMap(([name, holds]) => (holds ? [] : [name])) };
}

for (const way of ['up', 'down'] as const) {
  t.test(`taken up after any byte of a conversation (${way}), everything arrives once and ends in order`, async (t) => {
    const wrong: string[] = [];
    let cuts = 0;
    for (let bytes = 1; ; bytes++) {
      const result = converse({ [way]: bytes });
      if (result.wrong.length > 0) wrong.push(`${bytes}: ${result.wrong.join(' ')}`);
      if (!result.isKilled) break;
      cuts += 1;
    }
    t.strictSame(wrong, []);
    t.ok(cuts > 200, `${cuts} cuts`);
  });
}

t.test('streams with which nothing had been done yet begin anew, in the order of their numbers', async (t) => {
  const pair = new Pair(limits);
  pair.bind();
  // What the third one says has been answered; of the others the former process had only heard.
  const streams = Array.from({ length: 4 }, () => pair.shim.link.open());
  const [one, two, answered, four] = streams as [StreamId, StreamId, StreamId, StreamId];
  pair.shim.link.send(answered, up.b);
  pair.pump();
  pair.proxy.eager = false;
  for (const id of [one, two, four]) pair.shim.link.send(id, pattern(id, 30));
  pair.pump();
  const old = pair.proxy;
  const next = new End('proxy', pair.limits);
  next.link.takeUp(old.link.image());
  const image = old.link.imageOf(answered);
  if (image === undefined) throw new Error('no image');
  next.link.takeUpStream({ ...image, consumed: up.b.length, peerEnded: false });
  pair.shim.link.detach();
  pair.proxy = next;
  t.equal(pair.bind(), undefined);
  t.strictSame([...next.arrived.keys()], [one, two, four]);
  t.strictSame(
    next.link.snapshot().map(({ id }) => id),
    streams,
  );
  pair.pump();
  for (const id of [one, two, four]) t.ok(next.bytes(id).equals(pattern(id, 30)), `${id} from its first byte`);
  t.equal(next.arrived.has(answered), false, 'nothing of the other comes twice');
});

t.test(
  'a stream that begins anew counts once, also beside one that the process before had never heard of',
  async (t) => {
    const pair = new Pair(limits);
    pair.bind();
    pair.proxy.eager = false;
    const [one, two] = [pair.shim.link.open(), pair.shim.link.open()];
    for (const id of [one, two]) pair.shim.link.send(id, pattern(id, 20));
    pair.pump();
    const next = new End('proxy', pair.limits);
    // The first one was over when the process before died, which nobody has told the shim.
    next.link.takeUp({ lastStream: one, sent: 0, received: 20, acked: 0 });
    pair.shim.link.detach();
    pair.proxy = next;
    t.equal(pair.bind(), undefined);
    pair.pump();
    for (const id of [one, two]) t.ok(next.bytes(id).equals(pattern(id, 20)), `${id} from its first byte`);
    pair.shim.link.detach();
    next.link.detach();
    t.equal(next.link.peerRewound(pair.shim.link.account()), false, 'the shim is not taken for an older image');
  },
);

t.test('an end out of order follows one in order that the process before had handed out', async (t) => {
  const pair = new Pair(limits);
  pair.bind();
  const id = pair.shim.link.open();
  pair.pump();
  pair.proxy.link.send(id, Buffer.from('answer'));
  pair.proxy.link.end(id, 'closed');
  pair.pump();
  const next = replace(pair);
  next.link.end(id, 'lost');
  t.equal(pair.bind(), undefined);
  pair.pump();
  t.strictSame(pair.shim.endings.get(id), ['closed', 'lost']);
  t.equal(pair.shim.link.counters.violations, 0);
  t.strictSame([next.link.streamCount, pair.shim.link.streamCount], [0, 0]);
});

t.test('an older image of the shim is told by streams that had ended before the link was taken up', async (t) => {
  const pair = new Pair(limits);
  pair.bind();
  const id = pair.shim.link.open();
  const older = pair.shim.link.account();
  pair.shim.link.send(id, up.b);
  pair.shim.link.end(id, 'closed');
  pair.pump();
  pair.proxy.link.send(id, down.b);
  pair.proxy.link.end(id, 'closed');
  pair.pump();
  const { link } = replace(pair);
  const now = pair.shim.link.account();
  t.equal(link.streamCount, 0);
  t.equal(link.peerRewound(now), false);
  t.equal(link.peerRewound({ ...now, sentTotal: older.sentTotal }), true);
  t.equal(link.peerRewound({ ...now, receivedTotal: older.receivedTotal }), true);
});

t.test('a stream on which something had come back does not begin anew: it has ended', async (t) => {
  const pair = new Pair(limits);
  pair.bind();
  const id = pair.shim.link.open();
  pair.shim.link.send(id, up.b);
  pair.pump();
  pair.proxy.link.send(id, Buffer.from('answer'));
  pair.pump();
  const next = new End('proxy', pair.limits);
  next.link.takeUp(pair.proxy.link.image());
  pair.shim.link.detach();
  pair.proxy = next;
  t.equal(pair.bind(), undefined);
  t.equal(next.link.streamCount, 0);
  t.strictSame(pair.shim.endings.get(id), ['forgotten']);
});

t.test('a link that is taken up says when the window is full, and when there is room again', async (t) => {
  const pair = new Pair(limits);
  pair.bind();
  const id = pair.shim.link.open();
  pair.pump();
  t.equal(pair.proxy.link.send(id, pattern(5, 40)), false);
  const image = pair.proxy.link.imageOf(id);
  if (image === undefined) throw new Error('no image');
  const next = new End('proxy', pair.limits);
  next.link.takeUp(pair.proxy.link.image());
  t.equal(next.link.takeUpStream({ ...image, consumed: 0, peerEnded: false }), false);
  t.equal(next.link.storedBytes, 40);
  pair.shim.link.detach();
  pair.proxy = next;
  pair.bind();
  pair.pump();
  t.strictSame(next.rooms, [id]);
  t.equal(next.link.storedBytes, 0);
});

t.test('the end that the peer makes of a stream is told before what is stored for it goes', async (t) => {
  const pair = new Pair(limits);
  pair.bind();
  const id = pair.shim.link.open();
  pair.pump();
  pair.shim.eager = false;
  pair.proxy.link.send(id, down.a);
  pair.shim.link.end(id, 'lost');
  pair.pump();
  const { atEnd } = pair.proxy;
  t.ok(Buffer.concat([...(atEnd?.bytes ?? [])]).equals(down.a), 'whoever puts the stream down has these bytes still');
  t.equal(atEnd?.ended, 'lost', 'and knows that nothing more is stored');
});
