import { unpack } from 'msgpackr';
import { frameTypes, type Verdict } from '../../shim/link/index.js';
import type { Random } from '../../shim/program/random.js';
import type { Application } from './application.js';
import type { Gate } from './gate.js';
import { Pipe, type PipeEvents, type Weather } from './network.js';
import type { SimSocket } from './socket.js';
import type { Timeline } from './timeline.js';

/** Of a frame's header. */
export const headerBytes = 24;

/** A RESUME as somebody on the way could read it. */
export interface Presented {
  readonly instance: string;
  readonly epoch: number;
  readonly token: string;
  /** Order in which RESUMEs were sent, over the whole run. */
  readonly order: number;
  readonly bytes: Buffer;
}

/** One connection between a shim and the proxy, with what was seen on it. */
export class Wire {
  readonly app: Application;
  /** Which of the application's links it is; undefined for a stranger's. */
  readonly index: number | undefined;
  readonly gate: Gate;
  readonly up: Pipe;
  readonly down: Pipe;
  far: SimSocket | undefined;
  presented: Presented | undefined;
  /** Bytes up that have been handed to the proxy, the last ones being looked at now included. */
  handed = 0;
  /** Where CONFIRM ends, in bytes up. */
  confirmEnd = Number.POSITIVE_INFINITY;
  epoch: number | undefined;
  /** What RESUME_OK gave: somebody on the way may have read it. */
  token: Buffer | undefined;
  verdict: Verdict | undefined;

  constructor(
    app: Application,
    index: number | undefined,
    gate: Gate,
    network: { timeline: Timeline; random: Random; weather: Weather },
    events: { up: PipeEvents; down: PipeEvents },
  ) {
    this.app = app;
    this.index = index;
    this.gate = gate;
    this.up = new Pipe(network.timeline, network.random, network.weather, events.up);
    this.down = new Pipe(network.timeline, network.random, network.weather, events.down);
  }

  /** CONFIRM has been handed to the proxy. */
  get isConfirmed(): boolean {
    return this.epoch !== undefined && this.handed >= this.confirmEnd;
  }
}

/** What a control frame says, if these bytes begin with one: ends write each in a call of its own. */
export function controlFrame(bytes: Buffer): { type: number; fields: Record<string, unknown> } | undefined {
  const type = bytes[0] ?? 0;
  if (type < frameTypes.resume || bytes.length <= headerBytes) return undefined;
  return { type, fields: unpack(bytes.subarray(headerBytes)) };
}

export function text(token: unknown): string {
  return token instanceof Uint8Array ? Buffer.from(token).toString('latin1') : '';
}
