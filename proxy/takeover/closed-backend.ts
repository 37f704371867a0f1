import type { StreamRest } from '../../shim/link/index.js';
import type { SessionView } from '../backend/session.js';
import type { Backend } from '../bridge.js';
import { SessionTracker } from '../track/session.js';

/** The database side of a session that was over before this process began: only the rest of its bytes waits for the shim. */
export function closedBackend({ base, bytes, consumed, peerEnded }: StreamRest): Backend {
  const nothing = (): void => undefined;
  const view: SessionView = {
    state: 'closed',
    database: { host: '', port: 0, localAddress: undefined, localPort: undefined },
    createdMs: 0,
    positions: { received: consumed, consumed, delivered: base + bytes.length },
    driverEnded: peerEnded,
    databaseEnded: true,
    paused: false,
    track: new SessionTracker().view(),
  };
  return {
    write: nothing,
    gather: nothing,
    flush: () => false,
    end: nothing,
    pause: nothing,
    resume: nothing,
    destroy: nothing,
    describe: () => view,
    record: () => undefined,
    keepable: undefined,
  };
}
