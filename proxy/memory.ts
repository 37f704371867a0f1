/**
 * What the proxy keeps for others, and who may be read from because of it. There are two pools, one for each direction: bytes of
 * databases that shims have not acknowledged, and bytes of shims that databases have not taken. Each is bounded three times:
 * per stream by the window of the link (shim/link/limits.ts), per workload and per process here. Beyond a bound the proxy
 * stops reading, and the kernel, then the one who writes, feel the back-pressure.
 *
 * The rules, the same for both pools. A source is what can be read from: a database session, or the link of a workload.
 *
 *   1. A source is read while its workload and the process have room.
 *   2. Of a workload that is bound, a source that has nothing kept is read all the same, one piece. So whoever is bound
 *      always gets on, a piece a round trip, whatever others keep: its other sessions, which may wait for this one, or other workloads.
 *   3. Workloads that are held take at most half of the process' room: what nobody fetches for hours must not slow down those
 *      that work. Nothing of theirs is read beyond it, they have nobody to get on with.
 *   4. Those who had to stop go on in turn, workload by workload and one source of each, as room is made.
 *   5. A link carries many streams, and what would make room may lie behind the bytes of one that is stuck: the COMMIT that releases
 *      the lock on which its database waits, an acknowledgement. So one piece a second is read from a stopped link too.
 *
 * It follows that a pool keeps at most its bound, one piece for each source of a bound workload (rules 1 and 2), and one
 * piece for each second that a link is stuck (rule 5), which ends at the windows of its streams.
 *
 * Pure: counts and decides; `pause` and `resume` are called at once.
 */
import type { Cancel, Clock } from '../shim/link/index.js';
import type { ProxyLimits } from './limits.js';

export interface Valve {
  pause(): void;
  resume(): void;
}

type PoolClock = Pick<Clock, 'soon' | 'after'>;

export interface PoolLimits {
  readonly workloadBytesMax: number;
  readonly processBytesMax: number;
  /** Most bytes that one read gives. */
  readonly pieceBytes: number;
  /** How often a stopped source is read from (rule 5); undefined for never. */
  readonly trickleMs?: number;
}

/** The pools of a proxy. */
export interface Memory {
  readonly fromDatabases: Pool;
  readonly fromShims: Pool;
}

export function openMemory(limits: ProxyLimits, clock: PoolClock): Memory {
  const { workloadBytesMax, processBytesMax, pieceBytes, trickleMs } = limits;
  const bounds = { workloadBytesMax, processBytesMax, pieceBytes };
  return { fromDatabases: new Pool(bounds, clock), fromShims: new Pool({ ...bounds, trickleMs }, clock) };
}

export class Pool {
  readonly limits: PoolLimits;
  readonly #clock: PoolClock;
  readonly #shares = new Set<Share>();
  /** Shares with stopped sources; who comes next is in front. */
  readonly #waiting = new Set<Share>();
  #bytes = 0;
  #passedBytes = 0;
  /** Room given away in this turn, to sources that have not read yet. */
  #grantedBytes = 0;
  #planned = false;
  #cancelTrickle: Cancel | undefined;

  constructor(limits: PoolLimits, clock: PoolClock) {
    this.limits = limits;
    this.#clock = clock;
  }

  /** Bytes kept at the moment. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that were ever kept; grows. */
  get passedBytes(): number {
    return this.#passedBytes;
  }

  /** The part of one workload. */
  share(): Share {
    return new Share(this, (bytes) => this.#count(bytes));
  }

  /** For shares: this one has something to read. */
  join(share: Share): void {
    this.#shares.add(share);
  }

  /** For shares: is there room for one more piece? */
  hasRoom(isBound: boolean): boolean {
    const most = isBound ? this.limits.processBytesMax : this.limits.processBytesMax / 2;
    return this.#bytes + this.#grantedBytes < most;
  }

  /** For shares: a source of this one had to stop. */
  stopped(share: Share): void {
    this.#waiting.add(share);
    const { trickleMs } = this.limits;
    if (trickleMs === undefined || this.#cancelTrickle !== undefined) return;
    this.#cancelTrickle = this.#clock.after(trickleMs, () => {
      this.#cancelTrickle = undefined;
      for (const waiting of [...this.#waiting]) waiting.releaseAll();
    });
  }

  /** For shares: this one has no stopped source any more. */
  satisfied(share: Share): void {
    this.#waiting.delete(share);
    if (this.#waiting.size > 0) return;
    this.#cancelTrickle?.();
    this.#cancelTrickle = undefined;
  }

  /** For shares: this one is over. */
  leave(share: Share): void {
    this.#shares.delete(share);
  }

  /** Looks soon who may go on. */
  plan(): void {
    if (this.#planned || this.#waiting.size === 0) return;
    this.#planned = true;
    this.#clock.soon(() => this.#serve());
  }

  #count(bytes: number): void {
    const hadRoom = this.hasRoom(false);
    this.#bytes += bytes;
    if (bytes < 0) {
      this.plan();
      return;
    }
    this.#passedBytes += bytes;
    if (hadRoom && !this.hasRoom(false)) for (const share of this.#shares) share.review();
  }

  /**
   * Gives away the room that there is, a piece a source. Whoever has something to read does it before the next turn, and is counted
   * then; whoever has not must not keep the room from others, so every turn begins anew.
   */
  #serve(): void {
    this.#planned = false;
    const served = new Set<Share>();
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const share of [...this.#waiting]) {
        if (!share.grant()) continue;
        isMore = true;
        served.add(share);
        this.#grantedBytes += this.limits.pieceBytes;
        if (this.#waiting.delete(share)) this.#waiting.add(share);
      }
    }
    this.#grantedBytes = 0;
    for (const share of served) share.endTurn();
    if ([...this.#waiting].some((share) => share.hasRoom)) this.plan();
  }
}

/** What is kept for one workload in one direction. */
export class Share {
  readonly #pool: Pool;
  readonly #count: (bytes: number) => void;
  readonly #sources = new Set<Source>();
  readonly #stopped = new Set<Source>();
  #isBound = false;
  #bytes = 0;
  #grantedBytes = 0;

  constructor(pool: Pool, count: (bytes: number) => void) {
    this.#pool = pool;
    this.#count = count;
  }

  get bytes(): number {
    return this.#bytes;
  }
  get hasRoom(): boolean {
    return this.#bytes + this.#grantedBytes < this.#pool.limits.workloadBytesMax && this.#pool.hasRoom(this.#isBound);
  }

  /** The workload is bound, or held from now on. */
  setBound(isBound: boolean): void {
    this.#isBound = isBound;
    this.review();
    if (!isBound) return;
    for (const source of [...this.#stopped]) if (source.bytes === 0) this.#release(source);
    this.#pool.plan();
  }

  open(valve: Valve): Source {
    const source = new Source(this, valve);
    this.#sources.add(source);
    this.#pool.join(this);
    return source;
  }

  /** For sources: bytes have come or gone. */
  counted(source: Source, bytes: number): void {
    this.#bytes += bytes;
    this.#count(bytes);
    if (bytes > 0) {
      if (this.#isBound && !this.hasRoom) this.#stop(source);
      else this.review();
    } else if (source.bytes === 0 && this.#isBound) this.#release(source);
  }

  /** For sources: this one is gone, with what was kept of it. */
  closed(source: Source): void {
    this.#sources.delete(source);
    this.#release(source);
  }

  /** A workload that is held stops with all its sources: each of them could still read a piece otherwise. */
  review(): void {
    if (this.#isBound || this.#stopped.size === this.#sources.size || this.hasRoom) return;
    for (const source of this.#sources) this.#stop(source);
  }

  /** Lets one source go on. False: none waits, or there is no room. */
  grant(): boolean {
    const [source] = this.#stopped;
    if (source === undefined || !this.hasRoom) return false;
    this.#release(source);
    this.#grantedBytes += this.#pool.limits.pieceBytes;
    return true;
  }

  endTurn(): void {
    this.#grantedBytes = 0;
  }

  /** Every stopped source may read: with the first piece it is stopped again. */
  releaseAll(): void {
    for (const source of [...this.#stopped]) this.#release(source);
  }

  /** The workload has ended. */
  close(): void {
    for (const source of [...this.#sources]) source.close();
    this.#pool.leave(this);
  }

  #stop(source: Source): void {
    if (this.#stopped.has(source)) return;
    this.#stopped.add(source);
    source.stop(true);
    this.#pool.stopped(this);
  }

  #release(source: Source): void {
    if (!this.#stopped.delete(source)) return;
    if (this.#stopped.size === 0) this.#pool.satisfied(this);
    source.stop(false);
  }
}

/** One thing that is read from, and what is kept of it. */
export class Source {
  readonly #share: Share;
  readonly #valve: Valve;
  #bytes = 0;
  #isFull = false;
  #isStopped = false;
  #isClosed = false;

  constructor(share: Share, valve: Valve) {
    this.#share = share;
    this.#valve = valve;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** So many bytes are kept from now on. */
  add(bytes: number): void {
    this.#change(bytes);
  }

  /** So many are not any more. */
  remove(bytes: number): void {
    this.#change(-bytes);
  }

  /** The window of the stream is full, or has room again: a reason of its own not to read. */
  setFull(isFull: boolean): void {
    if (this.#isFull === isFull) return;
    this.#isFull = isFull;
    this.#turn();
  }

  /** For the share. */
  stop(isStopped: boolean): void {
    if (this.#isStopped === isStopped) return;
    this.#isStopped = isStopped;
    this.#turn();
  }

  close(): void {
    if (this.#isClosed) return;
    this.remove(this.#bytes);
    this.#isClosed = true;
    this.#share.closed(this);
  }

  #change(bytes: number): void {
    if (this.#isClosed || bytes === 0) return;
    this.#bytes += bytes;
    this.#share.counted(this, bytes);
  }

  #turn(): void {
    if (this.#isClosed) return;
    if (this.#isFull || this.#isStopped) this.#valve.pause();
    else this.#valve.resume();
  }
}
