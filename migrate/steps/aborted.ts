import type { MoveContext } from '../context.js';
import { MoveError } from '../errors.js';

/**
 * Waits for what can be left alone half-way.
 * @throws {MoveError} aborted, blackout-exceeded
 */
export async function unlessAborted<T>({ abort }: MoveContext, work: Promise<T>): Promise<T> {
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(MoveError.ofFailure(abort.reason));
    if (abort.signal.aborted) stop();
    else abort.signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    work.catch(() => undefined);
    if (stop !== undefined) abort.signal.removeEventListener('abort', stop);
  }
}
