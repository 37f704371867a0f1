import type { MoveContext } from '../context.js';
import { MoveError } from '../errors.js';

/** The shim closes its link and keeps its drivers: from here on the application waits. */
export async function detach({ shim }: MoveContext): Promise<void> {
  await shim.detach();
}

/** Undo. The address is said because a relink may have changed it. @throws {MoveError} put-back-failed */
export async function attach({ shim, found, mover }: MoveContext): Promise<void> {
  const address = mover === 'relink' ? found.before?.row.address : undefined;
  try {
    await shim.attach(address === undefined ? {} : { localAddress: address });
  } catch (cause) {
    throw MoveError.from('put-back-failed', 'the source could not bind again', cause);
  }
}
