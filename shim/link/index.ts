/** The face of the link: others import this file and socket.ts only. */
export type { Cancel, Clock } from './clock.js';
export { brokenBy, type EndCode, LinkError, type LinkErrorCode } from './errors.js';
export type { Fingerprints, Range } from './fingerprint.js';
export {
  type ControlType,
  type Epoch,
  type ErrorSource,
  frameTypes,
  headerBytes,
  type Position,
  protocolVersion,
  type StreamId,
} from './frame.js';
export * as initiator from './initiator.js';
export { defaultLimits, type LinkLimits } from './limits.js';
export { Link, type LinkCounters, type LinkEvents, type LinkImage } from './link.js';
export {
  type Binding,
  bound,
  confirmed,
  decodeConfirm,
  decodeRejected,
  decodeResume,
  decodeResumeOk,
  encodeConfirm,
  encodeRejected,
  encodeResume,
  encodeResumeOk,
  judge,
  noBinding,
  type Rejected,
  type Resume,
  type ResumeOk,
  tokenBytes,
  type Verdict,
} from './resume.js';
export type { StreamImage, StreamRest, StreamState } from './stream.js';
