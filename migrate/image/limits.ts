/** Bytes of a file that are compressed, sent and stored as one. */
export const chunkBytes = 1_048_576;
/** Greatest frame: a chunk that did not become smaller, and a little. */
export const frameBytesMax = chunkBytes + 65_536;
/** Files of one image. */
export const imageFilesMax = 100_000;
/** Connections that are tried, one after the other, before a transfer is given up. */
export const attemptsMax = 5;
export const pauseMs = 200;
/** Silence after which a connection counts as cut. */
export const silenceMsMax = 15_000;
/** Time that an agent waits for the next connection of a source. */
export const listenMsMax = 120_000;
