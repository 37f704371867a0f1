/** Relays of one process, connections of one relay, toxics of one relay. */
export const relaysMax = 64;
export const connectionsMax = 4_096;
export const toxicsMax = 64;
/** Bytes that wait in one direction of a connection; then its source is not read until they are fewer. */
export const waitingBytesMax = 1024 * 1024;
/** Of one request to the HTTP API. */
export const bodyBytesMax = 256 * 1024;
/** Setting a timer further off than this makes Node.js fire it at once. */
export const timerMsMax = 2_147_483_647;
