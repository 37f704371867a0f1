import fc from 'fast-check';
import t, { type Test } from 'tap';
import { proxyContract } from '../../proxy/control/contract.js';
import {
  encodeAccept,
  encodeConnect,
  encodeMarker,
  encodeRefuse,
  PacketReader,
  parseAccept,
  parseConnect,
  parseControl,
  parseMarker,
  parseRedirect,
  parseRefuse,
  tnsLimits,
} from '../../proxy/tns/index.js';
import { shimContract } from '../../shim/control/contract.js';
import { Decoder, type FrameSink } from '../../shim/link/decode.js';
import { headerBytes } from '../../shim/link/frame.js';
import {
  decodeConfirm,
  decodeRejected,
  decodeResume,
  decodeResumeOk,
  type Epoch,
  encodeConfirm,
  encodeRejected,
  encodeResume,
  encodeResumeOk,
  frameTypes,
  type StreamId,
} from '../../shim/link/index.js';

/**
 * Random bytes, and good ones with some bytes changed, for everything that reads what a peer has sent: an answer or a coded error, no crash,
 * no hang, nothing kept beyond the limits. HOLDFAST_FUZZ_RUNS makes it longer; HOLDFAST_SEED and HOLDFAST_PATH repeat a failure.
 */
const { HOLDFAST_SEED: seed, HOLDFAST_PATH: path, HOLDFAST_FUZZ_RUNS: runs = '1500' } = process.env;
const parameters = {
  numRuns: Number(runs),
  ...(seed === undefined ? {} : { seed: Number(seed) }),
  ...(path === undefined ? {} : { path }),
};
/** One input may take so long on a slow machine; a decoder that hangs takes for ever. */
const inputMsMax = 2_000;

const random = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));

/** One of the good ones, with up to eight bytes changed, perhaps cut off or with something behind it. */
function mutatedFrom(samples: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = fc.tuple(fc.nat(2_000), fc.nat(255));
  const tail = fc.uint8Array({ maxLength: 20 });
  const cut = fc.nat(2_000);
  return fc
    .tuple(fc.constantFrom(...samples), fc.array(change, { maxLength: 8 }), tail, cut)
    .map(([sample, changes, behind, at]) => {
      const bytes = Buffer.concat([sample, behind]);
      for (const [where, value] of changes) bytes[where % bytes.length] = value;
      return at % 3 === 0 ? bytes.subarray(0, at % (bytes.length + 1)) : bytes;
    });
}

/** Reads it. An error without a code is a crash. */
function reads(read: () => void): void {
  const startedMs = performance.now();
  try {
    read();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) throw error;
    if (error.code.startsWith('ERR_')) throw error;
  }
  const ms = performance.now() - startedMs;
  if (ms > inputMsMax) throw new Error(`took ${ms} ms`);
}

function survives(t: Test, samples: readonly Buffer[], read: (bytes: Buffer) => void): void {
  fc.assert(
    fc.property(fc.oneof(random, mutatedFrom(samples)), (bytes) => reads(() => read(bytes))),
    parameters,
  );
  for (const sample of samples) reads(() => read(sample));
  t.pass(`${runs} inputs`);
}

const account = {
  lastStream: 3,
  sentTotal: 50,
  receivedTotal: 10,
  windowBytes: 1000,
  streams: [{ id: 3 as StreamId, received: 10, consumed: 9, firstAvailable: 4, sent: 20 }],
};
const bind = { version: 1, epoch: 7 as Epoch, token: Buffer.alloc(32, 1), ...account };
const control = [
  encodeResume({ ...bind, workload: 'orders', instance: 'abc', attempt: 1 }),
  encodeResumeOk({ ...bind, replayedBytes: 3 }),
  encodeRejected({ version: 1, verdict: 'try-later', reason: 'full', retryAfterMs: 100 }),
  encodeConfirm(7 as Epoch),
];

t.test('the messages of the handshake', async (t) => {
  const decoders = [decodeResume, decodeResumeOk, decodeRejected, decodeConfirm];
  for (const [index, decode] of decoders.entries()) {
    const sample = control[index]?.subarray(headerBytes) ?? Buffer.alloc(0);
    decode(sample);
    survives(t, [sample], (bytes) => void decode(bytes));
  }
});

t.test('frames of the link, in any chunks, within the bounds of the decoder', async (t) => {
  const header = (type: number, length: number): Buffer => {
    const frame = Buffer.alloc(headerBytes + length, 5);
    frame.writeUInt32BE(((type << 24) | length) >>> 0);
    frame.writeUInt32BE(1, 4);
    frame.fill(0, 8, headerBytes);
    return frame;
  };
  const { open, data, ack, fin, heartbeat, detach } = frameTypes;
  const frames = [
    header(open, 0),
    header(data, 90),
    header(ack, 0),
    header(fin, 2),
    header(heartbeat, 0),
    header(detach, 0),
  ];
  const samples = [...frames, ...control, Buffer.concat(frames)];
  const none = (): void => undefined;
  const sink: FrameSink = { open: none, data: none, ack: none, fin: none, heartbeat: none, control: none };
  const limits = { frameBytesMax: 100, controlBytesMax: 300 };
  const keptMax = headerBytes + limits.controlBytesMax;
  survives(t, samples, (bytes) => {
    const decoder = new Decoder(limits);
    for (let at = 0; at < bytes.length; at += 1 + (at % 50)) {
      decoder.push(bytes.subarray(at, at + 1 + (at % 50)), sink);
      if (decoder.keptBytes > keptMax) throw new Error(`${decoder.keptBytes} bytes kept`);
    }
  });
});

t.test('a few bytes that announce long lists take no memory', async (t) => {
  const before = process.memoryUsage().rss;
  // Arrays and maps of 2^32 - 1 elements, in one another, with nothing in them.
  const lists = [Buffer.from('ddffffffff'.repeat(5), 'hex'), Buffer.from('dfffffffff'.repeat(5), 'hex')];
  for (const bytes of lists) for (const decode of [decodeResume, decodeResumeOk]) reads(() => void decode(bytes));
  t.ok(process.memoryUsage().rss - before < 256 * 1024 * 1024);
});

t.test('Oracle Net packets', async (t) => {
  const fields = { version: 319, options: 0x41, sduBytes: 8192, tduBytes: 65_535, flags2: 0 };
  const data = '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=x)))';
  const samples = [
    ...encodeConnect({ ...fields, versionLowest: 300 }, data),
    encodeAccept({ ...fields, uuid: Buffer.alloc(16) }),
    ...encodeRefuse('(ERR=12514)', { user: 0, system: 0 }),
    encodeMarker('break', 'u16'),
  ];
  const parsers = [parseConnect, parseAccept, parseRefuse, parseRedirect, parseMarker, parseControl];
  for (const parse of parsers) survives(t, samples, (bytes) => void parse(bytes, 'frontend'));
  const none = (): void => undefined;
  for (const lengthForm of ['u16', 'u32'] as const) {
    survives(t, samples, (bytes) => {
      const sink = { packetStart: none, payload: none, packetEnd: none };
      const reader = new PacketReader(sink, {
        source: 'frontend',
        lengthForm,
        packetBytesMax: tnsLimits.packetBytesMax,
      });
      for (let at = 0; at < bytes.length; at += 7) reader.push(bytes.subarray(at, at + 7));
      if (reader.state().header.length > 10) throw new Error('more than a header is kept');
    });
  }
});

t.test('requests to the control API', async (t) => {
  for (const { verbs } of [shimContract, proxyContract]) {
    for (const [name, { request }] of Object.entries(verbs)) {
      fc.assert(
        fc.property(fc.anything(), (body) => void request.safeParse(body)),
        { ...parameters, numRuns: Math.min(300, parameters.numRuns) },
      );
      t.pass(name);
    }
  }
});
