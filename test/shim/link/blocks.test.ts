import t from 'tap';
import { Blocks, batchBytesMax, blocks, keepBytesMax } from '../../../shim/link/blocks.js';
import { defaultLimits } from '../../../shim/link/limits.js';
import { Link } from '../../../shim/link/link.js';
import { Replay } from '../../../shim/link/replay.js';
import { LinkSocket } from '../../../shim/link/socket.js';
import { SimSocket } from '../../sim/socket.js';
import { Timeline } from '../../sim/timeline.js';

t.test('memory is used again, by whoever needs as much of it', async (t) => {
  const some = new Blocks();
  const first = some.take(batchBytesMax);
  t.equal(first.length, batchBytesMax);
  t.not(some.take(keepBytesMax + 1), first, 'while it is in use there is another one');
  some.giveBack(first);
  t.equal(some.take(keepBytesMax + 1), first);
  t.equal(some.take(300).length, 1024);
  t.equal(some.take(1025).length, 4096);
  t.equal(some.take(batchBytesMax + 1).length, batchBytesMax, 'there is none that is larger');
});

t.test('no more than a mebibyte of the largest is kept that nobody needs', async (t) => {
  const some = new Blocks();
  const many = Array.from({ length: 20 }, () => some.take(batchBytesMax));
  for (const each of many) some.giveBack(each);
  const again = new Set(Array.from({ length: 20 }, () => some.take(batchBytesMax)));
  t.equal(many.filter((each) => again.has(each)).length, 16);
});

t.test('what is stored is a copy, and its memory is given back when it is acknowledged or forgotten', async (t) => {
  const read = Buffer.alloc(300, 'a');
  const replay = new Replay();
  replay.append(read);
  read.fill('b');
  t.ok(Buffer.concat(replay.stored()).equals(Buffer.alloc(300, 'a')));
  const ends: Readonly<Record<string, (replay: Replay) => void>> = {
    acknowledged: (one) => {
      one.seek(one.end);
      one.trim(one.end);
    },
    forgotten: (one) => one.drop(),
    'cut off': (one) => {
      one.seek(one.base);
      one.truncate();
    },
  };
  for (const [how, end] of Object.entries(ends)) {
    // What nobody has is not in the pool: these blocks are the next ones it gives.
    const held = [blocks.take(300), blocks.take(300)];
    for (const block of held) blocks.giveBack(block);
    const one = new Replay();
    one.append(read);
    t.not(blocks.take(300), held[1], `${how}: in use`);
    end(one);
    t.equal(blocks.take(300), held[1], `${how}: given back`);
    t.equal(one.storedBytes, 0, how);
  }
});

t.test('what waits in one link is not written over by another', async (t) => {
  const timeline = new Timeline();
  const { clock } = timeline;
  let roomBytes = 0;
  const taken: Buffer[] = [];
  /** A link with one stream, whose network takes bytes when there is room. */
  const link = (take: (bytes: Buffer) => number): { wire: SimSocket; say(bytes: Buffer): void } => {
    const wire = new SimSocket(clock, { take, ended: () => undefined, destroyed: () => undefined }, false);
    const machine: Link = new Link('shim', defaultLimits, {
      opened: () => undefined,
      deliver: () => undefined,
      peerEnded: () => undefined,
      room: () => undefined,
      forgotten: () => undefined,
      wake: () => socket.wake(),
      acksWaiting: () => undefined,
    });
    const socket: LinkSocket = new LinkSocket(
      wire,
      defaultLimits,
      { control: () => undefined, delivered: () => false, cut: () => undefined },
      clock,
    );
    machine.resume({ ...machine.account(), streams: [] });
    socket.serve(machine);
    const stream = machine.open();
    return { wire, say: (bytes) => void machine.send(stream, bytes) };
  };
  const slow = link((bytes) => {
    const count = Math.min(bytes.length, roomBytes);
    roomBytes -= count;
    taken.push(bytes.subarray(0, count));
    return count;
  });
  const quick = link((bytes) => bytes.length);
  slow.say(Buffer.alloc(10_000, 's'));
  timeline.runUntil(10, () => undefined);
  for (let count = 0; count < 20; count += 1) {
    quick.say(Buffer.alloc(10_000, 'q'));
    timeline.runUntil(20 + count, () => undefined);
  }
  roomBytes = 100_000;
  slow.wire.drain();
  const arrived = Buffer.concat(taken).toString('latin1');
  t.equal(arrived.replace(/[^s]/g, '').length, 10_000);
  t.notMatch(arrived, /q{10}/);
});
