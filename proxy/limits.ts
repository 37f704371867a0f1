/** Most worker processes of one proxy. */
export const workersMax = 64;
/** So long a worker that was asked by another one may take for its answer, restart included; see workers/peers.ts. */
export const workerAnswerMs = 3_000;

/** Bounds of the proxy as a whole. Those of one link are in shim/link/limits.ts, of one session in backend/limits.ts. */
export interface ProxyLimits {
  /** Workloads bound or held at one time. One more is told to try later. */
  readonly workloadsMax: number;
  /** Of these, lives of one workload: each start of its shim is one, and one that does not come back is held for a while. */
  readonly instancesPerWorkloadMax: number;
  /** Connections in their TLS handshake, and as many that have not said their RESUME. One more is closed at once. */
  readonly handshakesMax: number;
  /** Connections of one address in their TLS handshake, so that one host cannot keep all others out. */
  readonly handshakesPerAddressMax: number;
  /** Database sessions, those whose connection is being made included; one more gets a REFUSE. See quota.ts. */
  readonly sessionsMax: number;
  readonly sessionsPerWorkloadMax: number;
  /** One more is ended at its login: who it is is not known before. */
  readonly sessionsPerUserMax: number;
  /** How fast workloads may bind; see admission.ts for these five. */
  readonly bindsPerSecond: number;
  readonly bindsAtOnce: number;
  readonly streamsPerBind: number;
  readonly appointmentsMax: number;
  readonly appointmentMs: number;
  /** How long a shim is told to wait before it tries again, where nobody can say when there will be room. */
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
  /** Requests to extend a hold that are remembered, so that one that is repeated is not granted twice. */
  readonly extendRequestsMax: number;
}

export const defaultProxyLimits: ProxyLimits = {
  workloadsMax: 4096,
  instancesPerWorkloadMax: 1024,
  handshakesMax: 1024,
  handshakesPerAddressMax: 256,
  sessionsMax: 50_000,
  sessionsPerWorkloadMax: 10_000,
  sessionsPerUserMax: 50_000,
  bindsPerSecond: 500,
  bindsAtOnce: 100,
  streamsPerBind: 100,
  appointmentsMax: 10_000,
  appointmentMs: 10_000,
  tryLaterMs: 1_000,
  epitaphsMax: 10_000,
  workloadBytesMax: 64 * 1024 * 1024,
  processBytesMax: 512 * 1024 * 1024,
  pieceBytes: 64 * 1024,
  trickleMs: 1_000,
  extendRequestsMax: 64,
};

/** Longest time by which a hold can be extended in one go: 30 days. */
export const extendMsMax = 30 * 86_400_000;
/** Characters of a name or a reason that an operator's command tells. */
export const actorCharactersMax = 128;
export const reasonCharactersMax = 512;
/** Rules of holds in the options. */
export const holdRulesMax = 1_000;
