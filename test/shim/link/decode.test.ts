import t from 'tap';
import { Decoder, type FrameSink } from '../../../shim/link/decode.js';

/** Frames built by hand, independent of encode.ts. */
const frame = (type: string, length: string, stream: string, position: string, ack: string, payload = ''): string =>
  `${type}${length}${stream}${position.padStart(16, '0')}${ack.padStart(16, '0')}${payload}`;

const conversation = [
  frame('01', '000000', '00000001', '0', '0'), // OPEN 1
  frame('02', '000005', '00000001', '0', '0', '68656c6c6f'), // DATA 1 @0 "hello"
  frame('02', '000003', '00000001', '5', '2a', '616263'), // DATA 1 @5 "abc", ack 42
  frame('03', '000000', '00000001', '0', '100000001'), // ACK 1 up to 2^32 + 1
  frame('05', '000000', '00000000', '0', '0'), // heartbeat
  frame('04', '000002', '00000001', '8', '2b', '0001'), // FIN 1 @8, lost
  frame('13', '000001', '00000000', '0', '0', '80'), // CONFIRM {}
].join('');

const expected = [
  'open 1',
  'ack 1 0',
  'data 1 0 hello',
  'ack 1 42',
  'data 1 5 abc',
  'ack 1 4294967297',
  'heartbeat',
  'ack 1 43',
  'fin 1 8 lost',
  'control 19 80',
];

class Recorder implements FrameSink {
  readonly events: string[] = [];
  open(stream: number): void {
    this.events.push(`open ${stream}`);
  }
  data(stream: number, position: number, bytes: Buffer): void {
    const last = this.events.at(-1);
    // Pieces of one frame are put together again: how it was cut must not matter.
    const start = position - (last?.startsWith(`data ${stream} `) ? (last.split(' ')[3]?.length ?? 0) : 0);
    if (last?.startsWith(`data ${stream} ${start} `))
      this.events[this.events.length - 1] = `${last}${bytes.toString()}`;
    else this.events.push(`data ${stream} ${position} ${bytes.toString()}`);
  }
  ack(stream: number, position: number): void {
    this.events.push(`ack ${stream} ${position}`);
  }
  fin(stream: number, position: number, code: string): void {
    this.events.push(`fin ${stream} ${position} ${code}`);
  }
  heartbeat(): void {
    this.events.push('heartbeat');
  }
  control(type: number, payload: Buffer): void {
    this.events.push(`control ${type} ${payload.toString('hex')}`);
  }
}

const limits = { frameBytesMax: 16, controlBytesMax: 32 };
const bytes = Buffer.from(conversation, 'hex');

t.test('a conversation cut into two chunks at every offset decodes the same', async (t) => {
  for (let at = 0; at <= bytes.length; at += 1) {
    const recorder = new Recorder();
    const decoder = new Decoder(limits);
    decoder.push(bytes.subarray(0, at), recorder);
    decoder.push(bytes.subarray(at), recorder);
    t.strictSame(recorder.events, expected, `cut at ${at}`);
    t.equal(decoder.keptBytes, 0);
  }
});

t.test('a conversation in chunks of any one size decodes the same', async (t) => {
  for (let size = 1; size < 60; size += 1) {
    const recorder = new Recorder();
    const decoder = new Decoder(limits);
    for (let at = 0; at < bytes.length; at += size) decoder.push(bytes.subarray(at, at + size), recorder);
    t.strictSame(recorder.events, expected, `chunks of ${size}`);
  }
});

t.test('what makes no sense is refused with a code, before anything of it is kept', async (t) => {
  const bad: [string, string, string][] = [
    ['an unknown type', frame('63', '000000', '00000001', '0', '0'), 'link-frame-unknown'],
    ['DATA longer than the limit', frame('02', '000011', '00000001', '0', '0'), 'link-frame-too-long'],
    ['a control frame longer than the limit', frame('10', '000021', '00000000', '0', '0'), 'link-frame-too-long'],
    ['DATA without data', frame('02', '000000', '00000001', '0', '0'), 'link-frame-malformed'],
    ['ACK with a payload', frame('03', '000001', '00000001', '0', '0'), 'link-frame-malformed'],
    ['OPEN with a payload', frame('01', '000001', '00000001', '0', '0'), 'link-frame-malformed'],
    ['FIN without a code', frame('04', '000000', '00000001', '0', '0'), 'link-frame-malformed'],
    ['heartbeat with a payload', frame('05', '000001', '00000000', '0', '0'), 'link-frame-malformed'],
    ['a position of 2^53', frame('02', '000001', '00000001', '20000000000000', '0'), 'link-position-too-large'],
    ['an acknowledgement of 2^53', frame('03', '000000', '00000001', '0', '20000000000000'), 'link-position-too-large'],
  ];
  for (const [what, hex, code] of bad) {
    const decoder = new Decoder(limits);
    t.throws(() => decoder.push(Buffer.from(hex, 'hex'), new Recorder()), { code, source: 'frontend' }, what);
    t.equal(decoder.keptBytes, 0);
  }
});
