import t from 'tap';
import {
  decodeRejected,
  decodeResumeOk,
  defaultLimits,
  type Epoch,
  encodeConfirm,
  encodeResume,
  frameTypes,
  protocolVersion,
  type Resume,
} from '../../shim/link/index.js';
import { type ProxyEvent, type ProxyState, proxyEvents, proxyTable } from '../shim/link/table.js';
import { Database } from '../sim/database.js';
import { Gate } from '../sim/gate.js';
import type { SimSocket } from '../sim/socket.js';
import { Timeline } from '../sim/timeline.js';
import { headerBytes } from '../sim/wire.js';

/** The proxy's table of SPEC.md: every event in every state, with the proxy of the simulation and its virtual clock. */

const holdMs = 100;
const first: Resume = {
  version: protocolVersion,
  workload: 'w',
  instance: 'i',
  epoch: 0 as Epoch,
  token: Buffer.alloc(0),
  attempt: 1,
  lastStream: 0,
  sentTotal: 0,
  receivedTotal: 0,
  windowBytes: 100,
  streams: [],
};

/** One connection of somebody who speaks the protocol by hand. */
class Peer {
  readonly said: Buffer[] = [];
  hungUp = false;
  readonly #gate: Gate;
  readonly #socket: SimSocket;

  constructor(gate: Gate) {
    this.#gate = gate;
    const hangUp = (): void => {
      this.hungUp = true;
    };
    const take = (bytes: Buffer): number => {
      this.said.push(bytes);
      return bytes.length;
    };
    this.#socket = gate.greet({ take, ended: () => undefined, destroyed: hangUp }, 'peer');
  }
  say(...frames: Buffer[]): void {
    this.#gate.input(() => this.#socket.receive(Buffer.concat(frames)));
  }
  cut(): void {
    this.#gate.input(() => this.#socket.fail(new Error('read ECONNRESET')));
  }
  heard(type: number): Buffer | undefined {
    return this.said.find((frame) => frame[0] === type)?.subarray(headerBytes);
  }
}

/** A proxy, and a workload brought into a state. */
class Case {
  readonly timeline = new Timeline();
  readonly databases: Database[] = [];
  readonly gate: Gate;
  readonly serving: Peer;
  readonly token: Buffer;

  constructor(state: ProxyState) {
    this.gate = new Gate(this.timeline, 1, {
      linkLimits: { ...defaultLimits, silenceMs: 60_000 },
      budgetMs: { idle: holdMs, call: holdMs, transaction: holdMs },
      limits: {},
      afterInput: () => undefined,
      ...{ estate: undefined, offsetMs: 0, stepsMax: Number.POSITIVE_INFINITY },
      died: () => undefined,
      lost: () => undefined,
      openBackend: (events, fate) => {
        const database = new Database(events, 0, () => undefined, fate);
        this.databases.push(database);
        return database;
      },
    });
    this.serving = new Peer(this.gate);
    if (state !== 'new') this.serving.say(encodeResume(first));
    const ok = this.serving.heard(frameTypes.resumeOk);
    this.token = ok === undefined ? Buffer.alloc(0) : decodeResumeOk(ok).token;
    if (state === 'new' || state === 'unconfirmed') return;
    this.serving.say(encodeConfirm(1 as Epoch), frame(frameTypes.open, 1));
    if (state === 'bound') return;
    this.serving.cut();
    if (state === 'ended') this.pass(2 * holdMs);
  }

  pass(ms: number): void {
    this.timeline.runUntil(this.timeline.nowMs + ms, () => undefined);
  }

  get state(): ProxyState {
    const kind = this.gate.registry.workloads[0]?.state.kind;
    if (kind !== 'bound') return kind ?? (this.token.length > 0 ? 'ended' : 'new');
    return this.#isConfirmed ? 'bound' : 'unconfirmed';
  }

  /** Only while CONFIRM is missing does what was presented before bind again; asked of a proxy that nobody goes on with. */
  get #isConfirmed(): boolean {
    const presented = [
      { epoch: 0 as Epoch, token: Buffer.alloc(0) },
      { epoch: 1 as Epoch, token: this.token },
    ].slice(0, this.gate.registry.workloads[0]?.epoch);
    return !presented.some((each) => {
      const probe = new Peer(this.gate);
      probe.say(encodeResume({ ...first, ...each, attempt: 99, lastStream: 9, sentTotal: 99, receivedTotal: 99 }));
      return probe.heard(frameTypes.resumeOk) !== undefined;
    });
  }

  /** What an honest shim presents in this state, having got the answer if there was one. */
  present(change: Partial<Resume> = {}): Peer {
    const isBound = this.token.length > 0;
    const now = { epoch: (isBound ? 1 : 0) as Epoch, token: this.token, attempt: isBound ? 2 : 1 };
    const account = { lastStream: this.databases.length, sentTotal: 0 };
    const peer = new Peer(this.gate);
    peer.say(encodeResume({ ...first, ...now, ...account, ...change }));
    return peer;
  }
}

function frame(type: number, stream: number): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(stream, 4);
  return bytes;
}

/** Lets it happen. @returns the connection on which an answer is to be expected */
function happen(on: Case, event: ProxyEvent): Peer {
  const { serving } = on;
  switch (event) {
    case 'RESUME':
      return on.present();
    case 'RESUME again':
      return on.present({ epoch: 0 as Epoch, token: Buffer.alloc(0), attempt: 2 });
    case 'RESUME of a copy':
      return on.present({ epoch: 0 as Epoch, token: Buffer.alloc(0), attempt: 1 });
    case 'RESUME, wrong token':
      return on.present({ token: Buffer.alloc(32, 9) });
    case 'RESUME, rewound':
      return on.present({ lastStream: 0 });
    case 'RESUME, other version':
      return on.present({ version: protocolVersion + 1 });
    case 'CONFIRM':
      serving.say(encodeConfirm(1 as Epoch));
      return serving;
    case 'OPEN':
      serving.say(frame(frameTypes.open, 2));
      return serving;
    case 'DETACH':
      serving.say(frame(frameTypes.detach, 0));
      return serving;
    case 'GOODBYE':
      serving.say(frame(frameTypes.goodbye, 0));
      return serving;
    case 'cut':
      serving.cut();
      return serving;
    case 'hold over':
      on.pass(2 * holdMs);
      return serving;
    case 'stop':
      on.gate.input((gate) => gate.registry.stop());
      return serving;
  }
}

/** What was done, in the words of the table. */
function outcome(before: ProxyState, event: ProxyEvent): string {
  const on = new Case(before);
  const opened = on.databases.length;
  const saidBefore = on.serving.said.length;
  const hungUpBefore = on.serving.hungUp;
  const peer = happen(on, event);
  const did: string[] = [];
  const rejected = peer.heard(frameTypes.rejected);
  if (rejected !== undefined) did.push(decodeRejected(rejected).verdict);
  if (peer !== on.serving && peer.heard(frameTypes.resumeOk) !== undefined) did.push('RESUME_OK');
  if (peer !== on.serving && on.serving.hungUp && !hungUpBefore) did.push('fence');
  const later = on.serving.said.slice(saidBefore);
  if (later.some(([type]) => type === frameTypes.goodbye)) did.push('GOODBYE');
  else if (peer === on.serving && event !== 'cut' && peer.hungUp && !hungUpBefore) did.push('hang-up');
  if (on.databases.length > opened) did.push('open');
  const after = on.state;
  if (did.length > 0) return `${after}: ${did.join(', ')}`;
  return after === before ? '-' : after;
}

t.test('the proxy answers every event in every state as the table says', async (t) => {
  for (const state of Object.keys(proxyTable) as ProxyState[]) {
    for (const event of proxyEvents) t.equal(outcome(state, event), proxyTable[state][event], `${state} x ${event}`);
  }
});
