import type { Logger } from 'pino';
import {
  type Clock,
  type ControlType,
  decodeConfirm,
  decodeResume,
  encodeRejected,
  frameTypes,
  LinkError,
  type LinkLimits,
  protocolVersion,
  type Resume,
} from '../shim/link/index.js';
import { LinkSocket, systemClock, type Wire } from '../shim/link/socket.js';
import type { Peer } from '../shim/program/identity.js';
import { Admission } from './admission.js';
import type { ProxyLimits } from './limits.js';
import type { Refusal, Registry } from './registry.js';
import { type Slot, slotOf } from './workers/slot.js';
import type { Workload } from './workload.js';

export interface ReceptionOptions {
  readonly registry: Registry;
  readonly limits: ProxyLimits;
  readonly linkLimits: LinkLimits;
  readonly log: Logger;
  /** Which workloads may bind here, where other workers have the others. */
  readonly slot?: Slot;
  /** The runtime's when left out. */
  readonly clock?: Clock;
}

/** Brings every connection that comes in to its workload, or sends it away. */
export class Reception {
  readonly #options: ReceptionOptions;
  readonly #admission: Admission;
  #handshakes = 0;

  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#admission = new Admission(options.limits);
  }

  /**
   * @param address where it comes from
   * @param peer who it is: the certificate says which workload this may be, the token which copy of it
   */
  greet(wire: Wire, address: string, peer: Peer): void {
    const { registry, limits, linkLimits, log, clock = systemClock } = this.#options;
    if (this.#handshakes >= limits.handshakesMax) {
      log.warn({ address, handshakes: this.#handshakes }, 'too many links in their handshake, one closed');
      wire.destroy();
      return;
    }
    this.#handshakes += 1;
    let workload: Workload | undefined;
    const cancelLate = clock.after(linkLimits.handshakeMs, () => {
      log.warn({ address }, 'a link did not finish its handshake in time');
      link.destroy();
    });
    let shaking = true;
    const shaken = (): void => {
      cancelLate();
      if (shaking) this.#handshakes -= 1;
      shaking = false;
    };
    wire.once('close', shaken);
    const control = (type: ControlType, payload: Buffer): void => {
      if (workload === undefined) {
        if (type !== frameTypes.resume)
          throw new LinkError('link-unexpected-frame', `control frame ${type} before RESUME`);
        shaken();
        const resume = readResume(payload);
        const from = { address, peer };
        const answer =
          'verdict' in resume
            ? resume
            : (registry.refuseStranger(resume, from) ??
              this.#ofAnother(resume) ??
              this.#tooMany(resume, clock.now()) ??
              registry.bind(resume, link, from));
        if ('verdict' in answer) this.#reject(link, answer, address);
        else workload = answer;
      } else if (type === frameTypes.confirm) workload.confirm(link, decodeConfirm(payload));
      else if (type === frameTypes.detach) {
        registry.release(workload, link, 'detached');
        link.destroy();
      } else if (type === frameTypes.goodbye) registry.goodbye(workload);
      else throw new LinkError('link-unexpected-frame', `control frame ${type} after the handshake`);
    };
    const cut = (error: LinkError): void => {
      if (workload === undefined) {
        log.warn({ code: error.code, why: error.message, address }, 'a link broke in its handshake');
      } else registry.release(workload, link, error.message);
    };
    const delivered = (): boolean => workload?.delivered() ?? false;
    const link: LinkSocket = new LinkSocket(wire, linkLimits, { control, delivered, cut }, clock);
  }

  /**
   * What a link has said of itself before its handshake was not so, or it has said nothing. Bound here, its workload would be
   * another one than the one that the right worker has.
   */
  #ofAnother({ workload }: Resume): Refusal | undefined {
    const { slot, log } = this.#options;
    if (slot === undefined || slotOf(workload, slot.of) === slot.index) return undefined;
    log.warn(
      { code: 'wrong-worker', workload, slot: slotOf(workload, slot.of) },
      'a link has come to the wrong worker',
    );
    return { verdict: 'try-later', reason: 'the link has come to the wrong worker: is the shim older than the proxy?' };
  }

  /** All come back at once: who must wait, and until when. */
  #tooMany({ workload, instance, streams }: Resume, nowMs: number): (Refusal & { retryAfterMs: number }) | undefined {
    const isFirst = this.#admission.appointments === 0;
    const waitMs = this.#admission.ask(`${workload}\n${instance}`, streams.length, nowMs);
    if (waitMs === 0) return undefined;
    const { log, limits } = this.#options;
    if (isFirst) log.warn({ bindsPerSecond: limits.bindsPerSecond }, 'many links at once: they are told when to come');
    return { verdict: 'try-later', reason: 'many links at once', retryAfterMs: Math.ceil(waitMs) };
  }

  #reject(link: LinkSocket, refusal: Refusal & { readonly retryAfterMs?: number }, address: string): void {
    const { verdict, reason, retryAfterMs } = refusal;
    const { log, limits } = this.#options;
    // A thousand of those with an appointment would be a thousand lines.
    const level = retryAfterMs === undefined ? 'warn' : 'debug';
    log[level]({ code: `refused-${verdict}`, why: reason, address, retryAfterMs }, 'a link was refused');
    const waitMs = verdict === 'try-later' ? (retryAfterMs ?? limits.tryLaterMs) : 0;
    link.closeAfter(encodeRejected({ version: protocolVersion, verdict, reason, retryAfterMs: waitMs }));
  }
}

/** A shim of another version keeps its drivers and comes again: one of the two is about to be upgraded. */
function readResume(payload: Buffer): Resume | Refusal {
  try {
    return decodeResume(payload);
  } catch (error) {
    if (!(error instanceof LinkError) || error.code !== 'link-version') throw error;
    return { verdict: 'try-later', reason: error.message };
  }
}
