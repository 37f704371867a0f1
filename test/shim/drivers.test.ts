import { pino } from 'pino';
import t from 'tap';
import { Dialer } from '../../shim/dialer.js';
import { type DriverSocket, Drivers } from '../../shim/drivers.js';
import { defaultLimits, type StreamId } from '../../shim/link/index.js';
import { SimSocket } from '../sim/socket.js';
import { Timeline } from '../sim/timeline.js';

const first = 1 as StreamId;

/** A driver's connection that notes what is asked of it. */
class Noted implements DriverSocket {
  readonly calls: string[] = [];
  readonly destroyed = false;
  readonly bytesWritten = 0;
  writableLength = 0;
  /** What is taken is not in `bytesWritten`, so nothing is reported as consumed that the link has not received. */
  takes = false;
  writeNow(): number {
    return 0;
  }
  write(bytes: Buffer): void {
    this.writableLength = this.takes ? 0 : this.writableLength + bytes.length;
    this.calls.push(`write ${bytes.length}`);
  }
  cork(): void {
    this.calls.push('cork');
  }
  uncork(): void {
    this.calls.push('uncork');
  }
  setNoDelay(): void {}
  on(): void {}
  once(): void {}
  end(): void {}
  pause(): void {}
  resume(): void {}
  destroySoon(): void {}
  destroy(): void {}
}

function connection(): { socket: Noted; deliver(bytes: number): void; delivered(): boolean } {
  const timeline = new Timeline();
  const { clock } = timeline;
  const log = pino({ level: 'silent' });
  const drivers = new Drivers({ connectWaitMs: 1_000, lingerMs: 1_000 }, log, clock);
  const nowhere = { take: () => 0, ended: () => undefined, destroyed: () => undefined };
  const dialer = new Dialer({
    workload: 'orders',
    newInstance: () => 'one',
    target: { host: 'proxy', port: 1 },
    connect: () => new SimSocket(clock, nowhere, false),
    limits: defaultLimits,
    log,
    clock,
    events: drivers.events,
  });
  const socket = new Noted();
  drivers.accept(socket, dialer);
  return {
    socket,
    deliver: (bytes) => drivers.events.deliver(first, Buffer.alloc(bytes)),
    delivered: () => drivers.events.delivered(),
  };
}

t.test('a small answer is written at once', async (t) => {
  const { socket, deliver, delivered } = connection();
  deliver(400);
  deliver(8_000);
  delivered();
  t.strictSame(socket.calls, ['write 400', 'write 8000']);
});

t.test('frames of a large answer that come at once leave in one write', async (t) => {
  const { socket, deliver, delivered } = connection();
  deliver(16_384);
  deliver(16_384);
  deliver(100);
  t.strictSame(socket.calls, ['cork', 'write 16384', 'write 16384', 'write 100']);
  delivered();
  t.equal(socket.calls.at(-1), 'uncork', 'when all is there, and not later');
  deliver(16_384);
  delivered();
  t.strictSame(socket.calls.slice(5), ['cork', 'write 16384', 'uncork']);
});

t.test('who keeps views of what was read is said of each read', async (t) => {
  const { socket, deliver, delivered } = connection();
  deliver(400);
  t.equal(delivered(), true, 'the network has taken nothing of it');
  t.equal(delivered(), false, 'of another read there is nothing');
  socket.takes = true;
  deliver(400);
  deliver(16_384);
  t.equal(delivered(), false);
  deliver(400);
  socket.takes = false;
  deliver(16_384);
  t.equal(delivered(), true);
});
