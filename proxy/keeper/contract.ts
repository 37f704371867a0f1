/**
 * What keeper and worker say to each other, over the channel that a forked process has. A socket comes with its message.
 * Only plain values: the two may be of different versions, and what one does not know it passes over.
 */

/** Numbers of the listening sockets; those of sessions come after them. */
export const linksId = 1;
export const controlId = 2;
/** The first number that is a session's, or a workload's. */
export const firstOwner = 16;

/** To the keeper. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'serving' }
  /** For those times in which there is nothing else to say. */
  | { readonly kind: 'beat' }
  | { readonly kind: 'released' }
  /** Comes with a socket, to be kept under this number. */
  | { readonly kind: 'keep'; readonly id: number }
  /** The socket is closed, or of no use any more. */
  | { readonly kind: 'drop'; readonly id: number }
  /** Workers of the program that is installed now shall take over, in all slots. */
  | { readonly kind: 'upgrade' }
  /** Comes with a link that another slot's worker is to go on with, and with what was read of it, in base64. */
  | { readonly kind: 'pass'; readonly to: number; readonly bytes: string };

/** To the worker. */
export type FromKeeper =
  /** The socket is kept from now on: it outlives the worker. */
  | { readonly kind: 'kept'; readonly id: number }
  /** Comes with a socket that was kept; before `take-over`. */
  | { readonly kind: 'socket'; readonly id: number }
  /** These were all: go on. `crashed`: the worker before has not let go in order. */
  | { readonly kind: 'take-over'; readonly sockets: number; readonly crashed: boolean }
  | { readonly kind: 'release' }
  /** Comes with a link that another slot's worker has accepted: see `pass`. */
  | { readonly kind: 'link'; readonly bytes: string }
  /** What the keeper has told in the log: for those who ask the worker. */
  | { readonly kind: 'alarm'; readonly alarm: string; readonly why: string };
