/** Greatest message in bytes, either way: a list of 10,000 sessions is about 4 MiB. */
export const messageBytesMax = 16 * 1_048_576;
/** The same of the first message of a connection, which says which program the caller wants. */
export const helloBytesMax = 4_096;
/** Longest pause inside a message. */
export const messagePauseMsMax = 5_000;
/** Connections to one control port; operators' tools open one each. */
export const connectionsMax = 64;
/** Connections besides those that are in their TLS handshake, and of those how many may come from one address. */
export const newcomersMax = 64;
export const newcomersPerAddressMax = 16;
/** Calls in progress on one connection. */
export const callsMax = 64;
/** Time for the TLS handshake of a new connection, and again for its hello or the answer to that. */
export const connectMsMax = 5_000;
/** Default time for a reply. */
export const callMsMax = 10_000;
/** Time that running handlers get when the server closes, and the other end when a client does. */
export const closeMsMax = 2_000;
/** Longest path of a Unix socket in bytes (sun_path in unix(7), without the closing zero). */
export const unixPathBytesMax = 107;
