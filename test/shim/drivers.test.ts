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
  write(bytes: Buffer): void {
    // Nothing is ever taken, so nothing is reported as consumed that the link has not received.
    this.writableLength += bytes.length;
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

function connection(): { socket: Noted; deliver(bytes: number): void; turn(): void } {
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
    turn: () => timeline.runUntil(timeline.nowMs, () => undefined),
  };
}

t.test('a small answer is written at once', async (t) => {
  const { socket, deliver, turn } = connection();
  deliver(400);
  deliver(8_000);
  turn();
  t.strictSame(socket.calls, ['write 400', 'write 8000']);
});

t.test('frames of a large answer that come in one turn of the event loop leave in one write', async (t) => {
  const { socket, deliver, turn } = connection();
  deliver(16_384);
  deliver(16_384);
  deliver(100);
  t.strictSame(socket.calls, ['cork', 'write 16384', 'write 16384', 'write 100']);
  turn();
  t.equal(socket.calls.at(-1), 'uncork', 'at its end, and not later');
  deliver(16_384);
  turn();
  t.strictSame(socket.calls.slice(5), ['cork', 'write 16384', 'uncork']);
});
