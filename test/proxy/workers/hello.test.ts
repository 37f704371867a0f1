import { Duplex } from 'node:stream';
import tls from 'node:tls';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type Hello, readHello } from '../../../proxy/workers/hello.js';
import { type Epoch, encodeConfirm, encodeResume } from '../../../shim/link/index.js';
import { linkServerName, workloadHash } from '../../../shim/program/server-name.js';

/** What a real client says first. */
async function clientHello(options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({ read: () => undefined, write: (chunk: Buffer) => resolve(chunk) });
    tls.connect({ socket: wire, minVersion: 'TLSv1.3', ...options }).on('error', () => undefined);
  });
}

function resume(workload: string): Buffer {
  return encodeResume({
    version: 1,
    workload,
    instance: 'life-1',
    epoch: 7 as Epoch,
    token: Buffer.alloc(32, 1),
    attempt: 3,
    lastStream: 0,
    windowBytes: 65_536,
    sentTotal: 0,
    receivedTotal: 0,
    streams: [],
  });
}

/** However little comes at a time, no more is waited for than there is, and the answer is the same. */
function everySplit(t: Test, bytes: Buffer, isTls: boolean, expected: Hello): void {
  t.strictSame(readHello(bytes, isTls), expected);
  for (let length = 0; length < bytes.length; length++) {
    const hello = readHello(bytes.subarray(0, length), isTls);
    if (hello.kind !== 'more') t.strictSame(hello, expected, `after ${length} bytes`);
    else if (hello.bytes <= length || hello.bytes > bytes.length) t.fail(`${hello.bytes} wanted, ${length} there`);
  }
}

t.test('a ClientHello says whose it is by its server name, wherever it is cut', async (t) => {
  for (const workload of ['orders', 'billing', 'ein Name mit Ümlaut']) {
    const bytes = await clientHello({ servername: linkServerName(workload) });
    everySplit(t, bytes, true, { kind: 'hash', hash: workloadHash(workload) });
    const psk = { ciphers: 'TLS_AES_128_GCM_SHA256', pskCallback: () => ({ psk: Buffer.alloc(32, 1), identity: 'i' }) };
    const withKey = await clientHello({ servername: linkServerName(workload), ...psk });
    everySplit(t, withKey, true, { kind: 'hash', hash: workloadHash(workload) });
  }
});

t.test('a ClientHello with another server name, or none, does not say', async (t) => {
  everySplit(t, await clientHello({ servername: 'proxy.example' }), true, { kind: 'unsaid' });
  everySplit(t, await clientHello({}), true, { kind: 'unsaid' });
});

t.test('a ClientHello byte by byte as RFC 8446 has it', async (t) => {
  const name = Buffer.from(linkServerName('orders'));
  const extension = Buffer.concat([
    Buffer.from([0, 0, 0, name.length + 5, 0, name.length + 3, 0, 0, name.length]),
    name,
  ]);
  const extensions = Buffer.concat([
    Buffer.from([0xaa, 0xaa, 0, 1, 9]),
    extension,
    Buffer.from([0, 43, 0, 3, 2, 3, 4]),
  ]);
  const hello = (body: Buffer): Buffer => {
    const head = [3, 3, ...Buffer.alloc(32, 5), 1, 0xee, 0, 2, 0x13, 1, 1, 0, 0, body.length];
    const message = Buffer.concat([Buffer.from(head), body]);
    const record = Buffer.concat([Buffer.from([1, 0, 0, message.length]), message]);
    return Buffer.concat([Buffer.from([22, 3, 1, 0, record.length]), record]);
  };
  const whole = hello(extensions);
  everySplit(t, whole, true, { kind: 'hash', hash: workloadHash('orders') });
  t.strictSame(readHello(Buffer.concat([whole, Buffer.from('more')]), true), {
    kind: 'hash',
    hash: workloadHash('orders'),
  });
  t.strictSame(
    readHello(hello(extensions.subarray(0, 20)), true),
    { kind: 'unsaid' },
    'cut off inside its own lengths',
  );
  const server = Buffer.from(whole);
  server[5] = 2;
  t.strictSame(readHello(server, true), { kind: 'unsaid' }, 'not a ClientHello');
});

t.test('a RESUME says it without TLS, and no stream of it is waited for', async (t) => {
  for (const workload of ['w', 'orders', 'n'.repeat(31), 'n'.repeat(32), 'ü'.repeat(128), 'n'.repeat(128)]) {
    everySplit(t, resume(workload), false, { kind: 'hash', hash: workloadHash(workload) });
  }
  const long = Buffer.concat([resume('orders'), Buffer.alloc(100_000)]);
  long.writeUIntBE(long.length - 24, 1, 3);
  t.strictSame(readHello(long.subarray(0, 100), false), { kind: 'more', bytes: 24 + 1024 });
  t.strictSame(readHello(long.subarray(0, 24 + 1024), false), { kind: 'hash', hash: workloadHash('orders') });
});

t.test('whatever else is said first does not say it, and is not waited for', async (t) => {
  t.strictSame(readHello(Buffer.from('GET / HTTP/1.1'), false), { kind: 'unsaid' });
  t.strictSame(readHello(Buffer.from('GET / HTTP/1.1'), true), { kind: 'unsaid' });
  t.strictSame(readHello(encodeConfirm(1 as Epoch), false), { kind: 'unsaid' });
  t.strictSame(readHello(Buffer.from([22, 3, 1, 0x40, 1]), true), { kind: 'unsaid' }, 'longer than a record may be');
  t.strictSame(readHello(Buffer.from([22, 3, 1, 0x40, 0]), true), { kind: 'more', bytes: 5 + 2 ** 14 });
  const of = (payload: number[]) => {
    const frame = Buffer.concat([Buffer.alloc(24), Buffer.from(payload)]);
    frame.writeUIntBE(payload.length, 1, 3);
    frame[0] = 16;
    return readHello(frame, false);
  };
  const field = [0xa8, ...Buffer.from('workload')];
  t.strictSame(of([0x81, ...field, 0xa1, 0x77]), { kind: 'hash', hash: workloadHash('w') }, 'a small map');
  t.strictSame(of([0x81, ...field, 0xa0]), { kind: 'unsaid' }, 'no name');
  t.strictSame(of([0x81, ...field, 7]), { kind: 'unsaid' }, 'not a text');
  t.strictSame(of([0x81, ...field, 0xa9, 0x77]), { kind: 'unsaid' }, 'cut off');
  t.strictSame(of([0x82, 0xc0, 0xc0, ...field, 0xa1, 0x77]), { kind: 'unsaid' }, 'nothing that a shim sends');
  t.strictSame(of([]), { kind: 'unsaid' });
});

t.test('no bytes at all make it throw, or wait for more than it may', async () => {
  const hello = await clientHello({ servername: linkServerName('orders') });
  const bases = [hello, resume('orders')];
  fc.assert(
    fc.property(
      fc.constantFrom(...bases),
      fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 4 }),
      fc.boolean(),
      (base, changes, isTls) => {
        const bytes = Buffer.from(base);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const found = readHello(bytes, isTls);
        return found.kind !== 'more' || (found.bytes > bytes.length && found.bytes <= 5 + 2 ** 14);
      },
    ),
    { numRuns: 2_000 },
  );
});
