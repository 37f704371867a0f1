export interface AuditLimits {
  /** Bytes of lines that wait for the disk. Lines beyond it are lost, and counted. */
  readonly waitingBytesMax: number;
  /** Pause before lines that could not be written are tried again, milliseconds. */
  readonly retryMs: number;
}

export const defaultAuditLimits: AuditLimits = { waitingBytesMax: 8 * 1024 * 1024, retryMs: 1_000 };

/** Sessions named in one line: it must stay one that tools can read. */
export const auditSessionsMax = 1_000;
