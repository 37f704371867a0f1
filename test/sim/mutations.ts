/** One fault put into the compiled product: in this file, this text, exactly once there, becomes that one. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const resume = 'shim/link/resume.js';
const link = 'shim/link/link.js';
const stream = 'shim/link/stream.js';
const socket = 'shim/link/socket.js';
const dialer = 'shim/dialer.js';
const drivers = 'shim/drivers.js';
const workload = 'proxy/workload.js';

/** Who may bind. */
const binding: readonly Mutation[] = [
  {
    name: 'epoch is not checked',
    file: resume,
    from: 'unconfirmed.token : undefined',
    to: 'unconfirmed.token : token',
  },
  { name: 'token is not compared', file: resume, from: 'if (!sameToken(resume.token, expected))', to: 'if (false)' },
  {
    name: 'token serves twice',
    file: resume,
    from: 'return { ...binding, unconfirmed: undefined }',
    to: 'return binding',
  },
  {
    name: 'one lost answer locks the shim out',
    file: resume,
    from: 'unconfirmed: { epoch, token: resume.token }',
    to: 'unconfirmed: undefined',
  },
  {
    name: 'late RESUME is accepted',
    file: resume,
    from: 'if (resume.attempt <= binding.attempt)',
    to: 'if (false)',
  },
  {
    name: 'a killed copy locks the source out',
    file: resume,
    from: "{ verdict: 'try-later', reason: `attempt",
    to: "{ verdict: 'stale-epoch', reason: `attempt",
  },
  { name: 'rewound peer is accepted', file: resume, from: 'if (link.peerRewound(resume))', to: 'if (false)' },
  {
    name: 'totals are not compared',
    file: link,
    from: 'return peer.lastStream < this.#lastId || peerSent < received || peerReceived < acked',
    to: 'return false',
  },
  { name: 'what is stored counts as sent', file: stream, from: 'sent: this.sentMax,', to: 'sent: this.outEnd,' },
  { name: 'epoch is not raised', file: resume, from: '(binding.epoch + 1)', to: 'binding.epoch' },
  {
    name: 'data is admitted before CONFIRM',
    file: workload,
    from: 'socket.serve(this.#link);',
    to: 'socket.serve(this.#link); socket.admit();',
  },
  {
    name: 'fenced connection is still served',
    file: workload,
    from: 'this.#state.attachment.socket.destroy();',
    to: ';',
  },
  {
    name: 'refused shim keeps its drivers',
    file: dialer,
    from: "this.#startAfresh(verdict === 'hold-expired' ? 'hold-expired' : 'refused');",
    to: ';',
  },
];

/** Bytes, acknowledgements and ends. */
const carrying: readonly Mutation[] = [
  {
    name: 'acknowledges before the next hop has it',
    file: link,
    from: 'frameTypes.ack, 0, stream.id, 0, stream.consumed)',
    to: 'frameTypes.ack, 0, stream.id, 0, stream.received)',
  },
  {
    name: 'one unacknowledged byte is dropped',
    file: link,
    from: 'stream.out.append(bytes);',
    to: 'stream.out.append(this.#attached ? bytes : bytes.subarray(0, bytes.length - 1));',
  },
  {
    name: 'one byte too many is sent again',
    file: stream,
    from: 'this.out.seek(bytesReceived)',
    to: 'this.out.seek(Math.max(this.out.base, bytesReceived - 1))',
  },
  {
    name: 'one byte too few is sent again',
    file: stream,
    from: 'this.out.seek(bytesReceived)',
    to: 'this.out.seek(Math.min(this.out.end, bytesReceived + 1))',
  },
  {
    name: 'duplicate bytes are not trimmed',
    file: stream,
    from: 'Math.min(peer.received, this.out.end)',
    to: 'Math.min(peer.consumed, this.out.end)',
  },
  {
    name: 'nothing is stored while there is no link',
    file: link,
    from: 'stream.out.append(bytes);',
    to: 'if (this.#attached) stream.out.append(bytes);',
  },
  {
    name: 'half-close is forgotten',
    file: link,
    from: 'this.#events.peerEnded(id, code);',
    to: "if (code !== 'closed') this.#events.peerEnded(id, code);",
  },
  {
    name: 'FIN position is off by one',
    file: link,
    from: 'const position = stream.sent;',
    to: 'const position = stream.sent + 1;',
  },
  {
    name: 'FIN is not sent again',
    file: stream,
    from: 'this.finsSent = peer.received - bytesReceived;',
    to: 'this.finsSent = this.endsTotal;',
  },
  {
    name: 'aborts that cross wait for each other',
    file: link,
    from: 'this.#brokeToo(stream, position, code);',
    to: ';',
  },
  {
    name: 'OPEN is not sent again',
    file: link,
    from: 'if (stream.id > peer.lastStream)',
    to: 'if (false)',
  },
  {
    name: 'driver of before speaks on the new link',
    file: drivers,
    from: 'new DriverConnection(socket, dialer.link,',
    to: `new DriverConnection(socket, { open: () => dialer.link.open(), consumed: (...all) => dialer.link.consumed(...all),
      send: (...all) => dialer.link.send(...all), end: (...all) => dialer.link.end(...all) },`,
  },
];

/** Credit, memory and time. */
const bounds: readonly Mutation[] = [
  { name: 'credit leaks', file: link, from: 'if (stream.ackDue && this.#streams.has(stream.id))', to: 'if (false)' },
  {
    name: 'the window of the peer is not kept',
    file: link,
    from: 'Math.min(stream.out.end, stream.acked + this.#peerWindowBytes)',
    to: 'stream.out.end',
  },
  {
    name: 'nobody is told to stop',
    file: link,
    from: 'stream.stopped = true;\n        return false;',
    to: 'return true;',
  },
  { name: 'nobody is told to go on', file: link, from: 'this.#events.room(stream.id);', to: ';' },
  {
    name: 'heartbeat never cuts',
    file: socket,
    from: 'if (this.#clock.now() - this.#heardAtMs > silenceMs)',
    to: 'if (false)',
  },
  {
    name: 'hold never ends',
    file: 'proxy/holds.js',
    from: "entry.cancel = clock.after(waitMs, () => this.#step(workload, entry, { kind: 'tick' }));",
    to: ';',
  },
  { name: 'hold outlives the bind', file: 'proxy/registry.js', from: 'this.#holds.finish(workload);', to: ';' },
  {
    name: 'expired hold leaves its sessions',
    file: workload,
    from: 'for (const session of this.#sessions.values())\n            session.forgotten();',
    to: ';',
  },
];

const bridge = 'proxy/bridge.js';
const protection = 'proxy/takeover/protection.js';
const recover = 'proxy/takeover/recover.js';
const saved = 'proxy/takeover/saved.js';

/** What the next worker of the proxy must know, and does with it. */
const takingOver: readonly Mutation[] = [
  {
    name: 'the binding is put down after the shim has it',
    file: workload,
    from: 'this.#protection.changed();\n        const replayedBytes',
    to: 'const replayedBytes',
  },
  {
    name: 'CONFIRM is not put down',
    file: workload,
    from: 'this.#protection.changed();\n        socket.admit();',
    to: 'socket.admit();',
  },
  { name: 'opened streams are not put down', file: workload, from: 'this.#protection.opened(stream);', to: ';' },
  {
    name: 'what the database says is not put down',
    file: bridge,
    from: 'this.#protection?.fromDatabase(position, bytes)',
    to: 'undefined',
  },
  {
    name: 'what the driver says is not put down',
    file: bridge,
    from: 'this.#protection?.fromDriver(position, bytes)',
    to: 'undefined',
  },
  {
    name: 'the end of the driver is not put down',
    file: bridge,
    from: "this.#protection?.note({ kind: 'driver-ended' });",
    to: ';',
  },
  {
    name: 'the end of the database is not put down',
    file: bridge,
    from: "this.#protection?.note({ kind: 'ended', code });\n        this.#owner.link.end",
    to: 'this.#owner.link.end',
  },
  {
    name: 'connections are not kept',
    file: protection,
    from: 'this.#channel.keep(id, socket);',
    to: ';',
  },
  {
    name: 'what has ended is not forgotten',
    file: protection,
    from: 'this.#journal.end(this.#id);\n        this.#drop();',
    to: 'this.#drop();',
  },
  {
    name: 'a refused workload is put down',
    file: protection,
    from: 'let hasBegun = false;',
    to: 'let hasBegun = true; journal.begin(id, () => packSaved(take()));',
  },
  {
    name: 'bytes come again from what was acknowledged',
    file: recover,
    from: 'consumed: resendFrom, peerEnded },',
    to: 'consumed: positions.consumed, peerEnded },',
  },
  {
    name: 'bytes come again from what the worker had taken over',
    file: recover,
    from: 'const resendFrom = anchor.received + counters.writtenBytes - anchor.writtenBytes;',
    to: 'const resendFrom = positions.received;',
  },
  {
    name: 'the end of the driver is taken for passed on',
    file: recover,
    from: 'record.driverEnded && resendFrom === positions.received;',
    to: 'record.driverEnded;',
  },
  {
    name: 'bytes behind the checkpoint are lost',
    file: recover,
    from: 'if (this.#ended === undefined)\n                    this.#bytes.push(body);',
    to: ';',
  },
  {
    name: 'bytes that a checkpoint has left out may go',
    file: saved,
    from: 'kept.use(delivered - left);',
    to: 'kept.use(delivered);',
  },
  {
    name: 'bytes are left out that came before those that are kept',
    file: saved,
    from: 'Math.min(bytes, delivered - kept.from)',
    to: 'bytes',
  },
  {
    name: 'a socket that is gone is put down as if it went on',
    file: bridge,
    from: 'isClosing ? { ...known',
    to: 'false ? { ...known',
  },
  {
    name: 'streams that were being opened do not begin anew',
    file: link,
    from: 'this.#beginRest(peer);',
    to: ';',
  },
  {
    name: 'streams that the shim knows of begin anew',
    file: link,
    from: 'received === 0 && firstAvailable === 0;',
    to: 'true;',
  },
  { name: 'streams are told out of order', file: link, from: '.sort((one, other) => one.id - other.id)', to: '' },
  {
    name: 'a hold begins anew with every worker',
    file: 'proxy/registry.js',
    from: 'away === undefined ? { ...holds, hold: undefined } : holds',
    to: '{ ...holds, hold: undefined }',
  },
];

export const mutations: readonly Mutation[] = [...binding, ...carrying, ...bounds, ...takingOver];

/** @throws when the text to be changed is not there exactly once: the product has changed, and the mutant must too */
export function mutated(code: string, { name, file, from, to }: Mutation): string {
  const parts = code.split(from);
  if (parts.length !== 2) throw new Error(`mutant "${name}": its text is ${parts.length - 1} times in ${file}`);
  return parts.join(to);
}
