/** Bounds of the proxy as a whole. Those of one link are in shim/link/limits.ts, of one session in backend/limits.ts. */
export interface ProxyLimits {
  /** Workloads bound or held at one time. One more is told to try later. */
  readonly workloadsMax: number;
  /** Connections that have not finished their handshake. One more is closed at once. */
  readonly handshakesMax: number;
  /** How long a shim is told to wait before it tries again. */
  readonly tryLaterMs: number;
  /** Ended workloads remembered, so that a late shim learns why. The oldest is forgotten first. */
  readonly epitaphsMax: number;
  /** Bytes kept of one workload and direction; see memory.ts. Of one stream it is `windowBytes` of the link. */
  readonly workloadBytesMax: number;
  /** Bytes kept of all workloads and one direction. Half of it is for those that are held. */
  readonly processBytesMax: number;
  /** Most bytes of one read from a socket: what the runtime's own buffer takes. */
  readonly pieceBytes: number;
  /** A link that is not read because of these bounds is read for one piece this often. */
  readonly trickleMs: number;
}

export const defaultProxyLimits: ProxyLimits = {
  workloadsMax: 4096,
  handshakesMax: 1024,
  tryLaterMs: 1_000,
  epitaphsMax: 10_000,
  workloadBytesMax: 64 * 1024 * 1024,
  processBytesMax: 512 * 1024 * 1024,
  pieceBytes: 64 * 1024,
  trickleMs: 1_000,
};
