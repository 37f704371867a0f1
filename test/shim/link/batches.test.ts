import t from 'tap';
import { Batches, batchBytesMax } from '../../../shim/link/batches.js';
import { defaultLimits } from '../../../shim/link/limits.js';
import { Link } from '../../../shim/link/link.js';
import { LinkSocket } from '../../../shim/link/socket.js';
import { SimSocket } from '../../sim/socket.js';
import { Timeline } from '../../sim/timeline.js';

t.test('memory of a large batch is used again; a small one is as large as it must be', async (t) => {
  const batches = new Batches();
  const first = batches.take(batchBytesMax);
  t.equal(first.length, batchBytesMax);
  t.not(batches.take(10_000), first, 'while it is in use there is another one');
  batches.giveBack(first);
  t.equal(batches.take(10_000), first);
  t.equal(batches.take(300).length, 300);
  batches.giveBack(Buffer.alloc(300));
  t.equal(batches.take(10_000).length, batchBytesMax, 'small ones are not kept');
});

t.test('no more than sixteen are kept that nobody needs', async (t) => {
  const batches = new Batches();
  const many = Array.from({ length: 20 }, () => batches.take(batchBytesMax));
  for (const each of many) batches.giveBack(each);
  const again = new Set(Array.from({ length: 20 }, () => batches.take(batchBytesMax)));
  t.equal(many.filter((each) => again.has(each)).length, 16);
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
      { control: () => undefined, cut: () => undefined },
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
