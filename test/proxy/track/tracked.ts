import { SessionTracker } from '../../../proxy/track/session.js';
import type { Dialect, Step } from './wire.js';

/** When all steps come, in milliseconds. */
export const now = 1000;

export function accepted(
  dialect: Dialect,
  options: { lengthForm?: 'u16' | 'u32'; nativeServices?: boolean; sduBytes?: number } = {},
): SessionTracker {
  const tracker = new SessionTracker();
  tracker.settled({
    outcome: {
      kind: 'accepted',
      accept: {
        version: 319,
        options: 1,
        sduBytes: options.sduBytes ?? 8192,
        tduBytes: 65536,
        flags2: 0,
        lengthForm: options.lengthForm ?? 'u32',
        endOfResponse: dialect.offered ?? dialect.marked,
        fastAuth: false,
        nativeServices: options.nativeServices ?? false,
        compression: false,
      },
    },
    connect: {
      version: 319,
      versionLowest: 300,
      options: 1,
      sduBytes: 8192,
      tduBytes: 65536,
      flags2: 0,
      connectDataBytes: 0,
      connectData: undefined,
    },
    connectData:
      '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)(CID=(PROGRAM=node)(HOST=node-a)(USER=app))(CONNECTION_ID=x)))',
  });
  return tracker;
}

export function feed(tracker: SessionTracker, ...steps: readonly Step[]): SessionTracker {
  for (const step of steps) {
    if (step.from === 'driver') tracker.fromDriver(step.bytes, now);
    else tracker.fromDatabase(step.bytes, now);
  }
  return tracker;
}
