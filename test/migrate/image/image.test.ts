import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { compress, decompress, ownCompressions } from '../../../migrate/image/compress.js';
import { encodeFrame, frameKinds, framesOf } from '../../../migrate/image/frames.js';
import { chunkBytes, frameBytesMax } from '../../../migrate/image/limits.js';
import { receiveImage } from '../../../migrate/image/receive.js';
import { sendImage } from '../../../migrate/image/send.js';
import { listenAt } from '../../../shim/program/listen.js';
import type { Security } from '../../../shim/program/security.js';

const log = pino({ level: 'silent' });
const secret: Security = { kind: 'secret', secret: Buffer.from('a secret that is long enough for this test') };

/** An image with files of all sizes that matter, one of which does not shrink. */
function image(t: Test) {
  const home = t.testdir();
  const [from, to] = [join(home, 'from'), join(home, 'to')];
  mkdirSync(from);
  writeFileSync(join(from, 'empty.img'), '');
  writeFileSync(join(from, 'core-1.img'), 'x'.repeat(chunkBytes));
  writeFileSync(join(from, 'pages-1.img'), randomBytes(3 * chunkBytes + 17));
  writeFileSync(join(from, 'pages-2.img'), Buffer.alloc(5 * chunkBytes));
  const isSame = () =>
    readdirSync(from).every((name) => readFileSync(join(from, name)).equals(readFileSync(join(to, name))));
  return { from, to, isSame };
}

async function open(t: Test, to: string, security = secret) {
  const reception = await receiveImage(to, '127.0.0.1', security, log);
  t.teardown(() => reception.close());
  const at = (port: number, ticket = reception.ticket) => ({
    ...{ address: { host: '127.0.0.1', port }, ticket, security, node: 'node-b' },
  });
  return { reception, destination: at(reception.port), at };
}

/** Passes bytes on, and does with the connections what each test says. */
async function relay(t: Test, port: number, onData: (bytes: Buffer, connection: number) => Buffer | undefined) {
  let connections = 0;
  const server = net.createServer((near) => {
    const number = ++connections;
    const far = net.connect(port, '127.0.0.1');
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.on('data', (bytes) => {
      const changed = onData(bytes, number);
      if (changed !== undefined) far.write(changed);
      else {
        near.destroy();
        far.destroy();
      }
    });
    far.on('data', (bytes) => near.write(bytes));
    far.on('end', () => near.end());
    near.on('close', () => far.destroy());
  });
  t.teardown(() => server.close());
  return listenAt(server, { host: '127.0.0.1', port: 0 });
}

t.test('an image arrives as it was, compressed on the way, for its owner alone', async (t) => {
  for (const security of [secret, { kind: 'plaintext' } as const]) {
    const { from, to, isSame } = image(t);
    const { destination } = await open(t, to, security);
    const sent = await sendImage(from, destination);
    t.ok(isSame());
    t.match(sent, { files: 4, connections: 1, bytes: 9 * chunkBytes + 17 });
    t.ok(sent.wireBytes < 4 * chunkBytes, `${sent.wireBytes} on the wire`);
    t.equal(statSync(to).mode & 0o777, 0o700);
    t.equal(statSync(join(to, 'core-1.img')).mode & 0o777, 0o600);
  }
});

t.test('after a cut the next connection goes on where the last one ended', async (t) => {
  const { from, to, isSame } = image(t);
  const { reception, at } = await open(t, to, { kind: 'plaintext' });
  let passed = 0;
  const port = await relay(t, reception.port, (bytes, connection) => {
    passed += bytes.length;
    return connection <= 2 && passed > connection * 1.5 * chunkBytes ? undefined : bytes;
  });
  const { connections, wireBytes } = await sendImage(from, at(port));
  t.ok(isSame());
  t.equal(connections, 3);
  t.ok(wireBytes < 7 * chunkBytes, `${wireBytes} on the wire: less than two times everything`);
});

t.test('a byte that was changed is noticed, and the file is sent again', async (t) => {
  const { from, to, isSame } = image(t);
  const { reception, at } = await open(t, to, { kind: 'plaintext' });
  let passed = 0;
  const port = await relay(t, reception.port, (bytes, connection) => {
    passed += bytes.length;
    if (connection === 1 && passed > 2 * chunkBytes) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    return bytes;
  });
  const { connections } = await sendImage(from, at(port));
  t.ok(connections > 1, 'it was noticed');
  t.ok(isSame());
});

t.test('a wrong ticket is refused at once', async (t) => {
  const { from, to } = image(t);
  const { reception, at } = await open(t, to);
  await t.rejects(sendImage(from, at(reception.port, 'wrong')), { code: 'image-refused', message: /ticket/ });
  t.same(readdirSync(to), []);
});

t.test('a target that is gone is given up after some attempts', async (t) => {
  const { from, to } = image(t);
  const { reception, destination } = await open(t, to);
  reception.close();
  await t.rejects(sendImage(from, destination), { code: 'image-cut' });
});

async function framesFrom(...chunks: readonly Buffer[]) {
  async function* given() {
    yield* chunks;
  }
  const found = [];
  for await (const { kind, body } of framesOf(given())) found.push([kind, body.toString()]);
  return found;
}

t.test('frames are read whatever pieces they come in', async (t) => {
  const bytes = Buffer.concat([encodeFrame(frameKinds.hello, Buffer.from('abc')), encodeFrame(frameKinds.done)]);
  for (let at = 0; at <= bytes.length; at++) {
    t.same(await framesFrom(bytes.subarray(0, at), bytes.subarray(at)), [
      [frameKinds.hello, 'abc'],
      [frameKinds.done, ''],
    ]);
  }
  await t.rejects(framesFrom(bytes.subarray(0, 4)), { code: 'image-cut' });
});

t.test('a frame that is too long is refused before it is collected', async (t) => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(frameBytesMax + 1);
  await t.rejects(framesFrom(head), { code: 'image-refused' });
});

t.test('a chunk that would become larger than chunks are is refused', async (t) => {
  for (const how of ownCompressions) {
    const bomb = await compress(how, Buffer.alloc(chunkBytes + 1));
    await t.rejects(decompress(how, bomb), { code: 'image-damaged' });
    t.same(await decompress(how, await compress(how, Buffer.from('abc'))), Buffer.from('abc'));
  }
});
