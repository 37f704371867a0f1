import type { Server } from 'node:net';
import { formatAddress } from './address.js';
import { CodedError, errorCode, errorText } from './errors.js';

export class ListenError extends CodedError<'address-in-use' | 'bad-address'> {}

/** A listening socket that another process of this machine has opened. */
export interface ListeningHandle {
  readonly fd: number;
}

/**
 * Lets a server listen.
 * @param where.handle it listens there already, and is only taken over
 * @returns the port, which the kernel has chosen when 0 was asked for
 * @throws {ListenError} address-in-use, bad-address
 */
export async function listenAt(
  server: Server,
  where: {
    readonly host: string;
    readonly port: number;
    readonly backlog?: number;
    readonly handle?: ListeningHandle | undefined;
  },
): Promise<number> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(where.handle ?? where, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (cause) {
    const code = errorCode(cause) === 'EADDRINUSE' ? 'address-in-use' : 'bad-address';
    const message = `cannot listen on ${formatAddress(where)}: ${errorText(cause)}`;
    throw new ListenError(code, 'operator', message, { cause });
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : where.port;
}
