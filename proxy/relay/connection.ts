import type { Socket } from 'node:net';
import type { Clock } from '../../shim/link/index.js';
import { Random, seedOf } from '../../shim/program/random.js';
import type { Toxic } from '../inject/contract.js';
import { hashOf } from '../inject/engine.js';
import { waitingBytesMax } from './limits.js';
import type { Next, Stage } from './stage.js';
import { stageOf } from './toxics/index.js';

export const streams = ['upstream', 'downstream'] as const;
/** Upstream is from the client to the server. */
export type Stream = (typeof streams)[number];

/** A toxic of a relay. */
export interface ActiveToxic {
  readonly name: string;
  readonly toxic: Toxic;
  readonly streams: readonly Stream[];
  /** Which part of the connections has it, 0 to 1. */
  readonly toxicity: number;
  readonly seed: number;
}

/** One direction: a row of stages between two sockets. */
class Flow {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #stages = new Map<string, Stage>();
  #waitingBytes = 0;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
    from.on('data', (chunk: Buffer) => {
      this.#waitingBytes += chunk.length;
      this.#head().push(chunk);
      this.#look();
    });
    from.on('end', () => this.#head().end());
    to.on('drain', () => this.#look());
  }

  add(name: string, stage: Stage): void {
    this.#stages.set(name, stage);
    this.#chain();
  }

  remove(name: string): void {
    const stage = this.#stages.get(name);
    if (stage === undefined) return;
    stage.leave();
    stage.dispose();
    this.#stages.delete(name);
    this.#chain();
    this.#look();
  }

  /** The source was reset. Past toxics that is an end like another: they may keep it back. */
  broken(): void {
    if (this.#stages.size === 0) this.#to.resetAndDestroy();
    else this.#head().end();
  }

  dispose(): void {
    for (const stage of this.#stages.values()) stage.dispose();
    this.#stages.clear();
  }

  #head(): Next {
    const [first] = this.#stages.values();
    return first ?? this.#sink;
  }

  #chain(): void {
    const stages = [...this.#stages.values()];
    for (const [index, stage] of stages.entries()) stage.next = stages[index + 1] ?? this.#sink;
  }

  readonly #sink: Next = {
    push: (chunk) => {
      this.#waitingBytes -= chunk.length;
      if (this.#to.writable) this.#to.write(chunk);
      this.#look();
    },
    end: () => {
      if (this.#to.writable) this.#to.end();
    },
  };

  /** Whoever sends faster than bytes get through is not read. Bytes that a toxic has swallowed count too: none follow them. */
  #look(): void {
    if (this.#waitingBytes + this.#to.writableLength > waitingBytesMax) this.#from.pause();
    else this.#from.resume();
  }
}

export interface ConnectionOptions {
  /** Of the relay, from 1. */
  readonly number: number;
  readonly clock: Clock;
  /** A toxic has done something to it, for the first time. */
  readonly acted: (toxic: ActiveToxic, stream: Stream) => void;
}

/** A connection through a relay: what the client says goes to the server and back, past the toxics. */
export class RelayConnection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #options: ConnectionOptions;
  readonly #flows: Readonly<Record<Stream, Flow>>;

  constructor(client: Socket, server: Socket, options: ConnectionOptions) {
    this.#client = client;
    this.#server = server;
    this.#options = options;
    this.#flows = { upstream: new Flow(client, server), downstream: new Flow(server, client) };
    for (const one of [client, server]) {
      one.setNoDelay(true);
      // 'close' follows.
      one.on('error', () => undefined);
      one.on('close', (isBroken) => {
        if (isBroken) this.#flows[one === client ? 'upstream' : 'downstream'].broken();
        this.#overWhenClosed();
      });
    }
  }

  apply(toxic: ActiveToxic): void {
    for (const stream of toxic.streams) {
      const stage = this.#stage(toxic, stream);
      if (stage !== undefined) this.#flows[stream].add(toxic.name, stage);
    }
  }

  lift(name: string): void {
    for (const stream of streams) this.#flows[stream].remove(name);
  }

  cut(how: 'reset' | 'close'): void {
    for (const flow of Object.values(this.#flows)) flow.dispose();
    for (const socket of [this.#client, this.#server]) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroySoon();
    }
  }

  #stage(toxic: ActiveToxic, stream: Stream): Stage | undefined {
    const { clock, number, acted } = this.#options;
    const random = new Random(seedOf(toxic.seed ^ hashOf(`${toxic.name} ${stream}`), number));
    if (!random.chance(toxic.toxicity)) return undefined;
    let hasActed = false;
    return stageOf(toxic.toxic, {
      clock,
      random: () => random.unit(),
      acted: () => {
        if (!hasActed) acted(toxic, stream);
        hasActed = true;
      },
      cut: (how) => this.cut(how),
    });
  }

  #overWhenClosed(): void {
    if (!this.#client.closed || !this.#server.closed) return;
    for (const flow of Object.values(this.#flows)) flow.dispose();
  }
}
