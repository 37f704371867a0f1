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
}

export const defaultProxyLimits: ProxyLimits = {
  workloadsMax: 4096,
  handshakesMax: 1024,
  tryLaterMs: 1_000,
  epitaphsMax: 10_000,
};
