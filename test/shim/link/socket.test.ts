import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { Clock } from '../../../shim/link/clock.js';
import { brokenBy, type EndCode, type LinkError, type LinkErrorCode } from '../../../shim/link/errors.js';
import type { StreamId } from '../../../shim/link/frame.js';
import { defaultLimits, type LinkLimits } from '../../../shim/link/limits.js';
import { Link } from '../../../shim/link/link.js';
import { LinkSocket, type Wire } from '../../../shim/link/socket.js';
import { SimSocket } from '../../sim/socket.js';
import { Timeline } from '../../sim/timeline.js';

/** Two connected sockets on loopback. */
async function connected(t: Test): Promise<[Socket, Socket]> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const near = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [far] = await Promise.all([accepted, once(near, 'connect')]);
  t.teardown(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return [near, far];
}

interface Side {
  readonly link: Link;
  readonly socket: LinkSocket;
  readonly arrived: Map<StreamId, number>;
  readonly ended: EndCode[];
  readonly cut: Promise<LinkError>;
}

function side(role: 'shim' | 'proxy', raw: Wire, limits: LinkLimits, clock?: Clock): Side {
  const arrived = new Map<StreamId, number>();
  const ended: EndCode[] = [];
  const link: Link = new Link(role, limits, {
    opened: () => undefined,
    deliver: (id, bytes) => {
      arrived.set(id, (arrived.get(id) ?? 0) + bytes.length);
      link.consumed(id, arrived.get(id) ?? 0);
    },
    peerEnded: (_id, code) => void ended.push(code),
    room: () => undefined,
    forgotten: () => undefined,
    wake: () => socket.wake(),
    acksWaiting: () => socket.acksWaiting(),
  });
  const events = { control: () => undefined, delivered: () => false, cut: (_error: LinkError): void => undefined };
  const socket = new LinkSocket(raw, limits, events, clock);
  const cut = new Promise<LinkError>((resolve) => {
    events.cut = resolve;
  });
  link.resume({ ...link.account(), streams: [] });
  socket.serve(link);
  socket.admit();
  return { link, socket, arrived, ended, cut };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

t.test('megabytes cross in both directions and every acknowledgement comes back', async (t) => {
  const [near, far] = await connected(t);
  const shim = side('shim', near, defaultLimits);
  const proxy = side('proxy', far, defaultLimits);
  const id = shim.link.open();
  await until(() => proxy.link.streamCount === 1);
  const total = 4 * 1024 * 1024;
  for (let sent = 0; sent < total; sent += 65_536) {
    shim.link.send(id, Buffer.alloc(65_536, 1));
    proxy.link.send(id, Buffer.alloc(65_536, 2));
  }
  await until(() => shim.arrived.get(id) === total && proxy.arrived.get(id) === total);
  await until(() => shim.link.storedBytes + proxy.link.storedBytes === 0);
  shim.link.end(id, 'closed');
  proxy.link.end(id, 'closed');
  await until(() => shim.link.streamCount + proxy.link.streamCount === 0);
  t.strictSame([shim.ended, proxy.ended], [['closed'], ['closed']]);
  shim.socket.destroy();
  proxy.socket.destroy();
});

t.test('a broken connection cuts the link and ends no stream', async (t) => {
  const breaks: [string, LinkErrorCode, (far: Socket) => void][] = [
    ['closed in order', 'link-closed', (far) => far.end()],
    ['reset', 'link-closed', (far) => far.resetAndDestroy()],
    [
      'bytes that are no frame',
      'link-frame-unknown',
      (far) => far.write(Buffer.from([0xee, ...Array<number>(23).fill(0)])),
    ],
  ];
  for (const [what, code, break_] of breaks) {
    const [near, far] = await connected(t);
    const shim = side('shim', near, defaultLimits);
    shim.link.open();
    break_(far);
    t.equal((await shim.cut).code, code, what);
    t.equal(shim.link.streamCount, 1);
    t.strictSame(shim.ended, []);
  }
});

t.test('the code says whether nobody was there, TLS failed, or a link that was there broke', (t) => {
  const cases: [Error, LinkErrorCode, RegExp][] = [
    [Object.assign(new Error('connect ECONNREFUSED'), { syscall: 'connect' }), 'link-unreachable', /ECONNREFUSED/],
    [Object.assign(new Error('getaddrinfo ENOTFOUND'), { syscall: 'getaddrinfo' }), 'link-unreachable', /ENOTFOUND/],
    [
      Object.assign(new Error('00:error:0A:...'), { code: 'EPROTO', reason: 'alert bad' }),
      'link-tls',
      /TLS failed \(alert bad\).*same secret/,
    ],
    [Object.assign(new Error('x'), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' }), 'link-tls', /ERR_SSL_WRONG_VERSION/],
    [Object.assign(new Error('read ECONNRESET'), { syscall: 'read' }), 'link-closed', /link broken: read ECONNRESET/],
  ];
  for (const [cause, code, text] of cases) {
    const error = brokenBy(cause);
    t.equal(error.code, code);
    t.match(error.message, text);
    t.equal(error.cause, cause);
  }
  t.end();
});

t.test('a peer that falls silent is taken for dead; one that only heartbeats is not', async (t) => {
  const limits = { ...defaultLimits, heartbeatMs: 5_000, silenceMs: 15_000 };
  const timeline = new Timeline();
  const { clock } = timeline;
  let isSilent = false;
  const end = (other: () => SimSocket): SimSocket => {
    const take = (bytes: Buffer): number => {
      if (!isSilent) timeline.at(timeline.nowMs, () => other().receive(bytes));
      return bytes.length;
    };
    return new SimSocket(clock, { take, ended: () => undefined, destroyed: () => undefined }, false);
  };
  const near: SimSocket = end(() => far);
  const far: SimSocket = end(() => near);
  let brokenAtMs: number | undefined;
  const shim = side('shim', near, limits, clock);
  side('proxy', far, limits, clock);
  void shim.cut.then((error) => t.equal(error.code, 'link-silent'));
  const look = (): void => {
    if (near.destroyed) brokenAtMs ??= timeline.nowMs;
  };
  timeline.runUntil(3_600_000, look);
  t.equal(brokenAtMs, undefined, 'an hour of heartbeats');
  isSilent = true;
  timeline.runUntil(3_700_000, look);
  const silentMs = (brokenAtMs ?? 0) - 3_600_000;
  t.ok(
    silentMs > limits.silenceMs - limits.heartbeatMs && silentMs <= limits.silenceMs + limits.heartbeatMs,
    `${silentMs} ms`,
  );
});

t.test('a stream frame before the handshake is done severs the link', async (t) => {
  const [near, far] = await connected(t);
  let error: LinkError | undefined;
  const socket = new LinkSocket(near, defaultLimits, {
    control: () => undefined,
    delivered: () => false,
    cut: (cause) => {
      error = cause;
    },
  });
  const open = Buffer.alloc(24);
  open[0] = 1;
  open[7] = 1;
  far.write(open);
  await until(() => error !== undefined);
  t.equal(error?.code, 'link-unexpected-frame');
  socket.destroy();
});
