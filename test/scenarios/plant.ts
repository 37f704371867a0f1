/**
 * Preloaded into the workers of a proxy (`--import`), for runs that must fail: one byte of a COMMIT or ROLLBACK on its way to
 * the database is another. Nobody is told: the driver, the proxy and the application see a COMMIT that was answered.
 */
import { BackendSession } from '../../proxy/backend/session.js';
import { PacketType } from '../../proxy/tns/index.js';
import { FunctionCode, MessageType } from '../../proxy/ttc/index.js';

/** Which call becomes another one. */
export const plants = {
  'commit-rolls-back': [FunctionCode.commit, FunctionCode.rollback],
  'rollback-commits': [FunctionCode.rollback, FunctionCode.commit],
} as const;
export type Plant = keyof typeof plants;

/** Where a packet says that it is a function, and which: behind header and data flags. */
const messageAt = 10;
const functionAt = 11;
const every = 5;

const plant = plants[new URL(import.meta.url).searchParams.get('plant') as Plant];
let seen = 0;

if (process.send !== undefined && plant !== undefined) {
  const [from, to] = plant;
  const { write } = BackendSession.prototype;
  BackendSession.prototype.write = function (view) {
    if (view[4] === PacketType.data && view[messageAt] === MessageType.function && view[functionAt] === from) {
      seen += 1;
      if (seen % every === 0) {
        const changed = Buffer.from(view);
        changed[functionAt] = to;
        process.stderr.write('planted\n');
        return write.call(this, changed);
      }
    }
    return write.call(this, view);
  };
}
