import type { SessionRow } from '../../proxy/control/contract.js';
import type { Range, SeenByShim } from '../../shim/control/contract.js';
import { type MoveContext, moveNames, need } from '../context.js';
import { MoveError } from '../errors.js';
import { shimMsMax } from '../limits.js';
import type { KnownSession, SessionRecord } from '../record.js';
import { targetAgent } from './target-agent.js';

type Hashes = NonNullable<SessionRecord['hashes']>;

/** Asks the proxy whether every session is the one it was. What differs is reported: the target owns them already. */
export async function verify(context: MoveContext): Promise<void> {
  const { proxy, found } = context;
  const bound = need(found.bound, 'the bind');
  const life = need(found.before, 'the proxy').row;
  const seen = await seenByShim(context, bound.epoch);
  const row = await proxy.workload(life);
  found.after = { row, sessions: await proxy.sessions(life) };
  if (row?.epoch !== bound.epoch) {
    throw new MoveError('sessions-differ', `the proxy knows epoch ${row?.epoch ?? 'none'}, the shim ${bound.epoch}`);
  }
  // Of another bind they would be other ranges.
  if (seen !== undefined) found.seen = seen;
  const sessions = compareSessions(found.before?.sessions ?? [], found.after.sessions, found.seen);
  const lost = sessions.filter(({ same }) => !same);
  if (lost.length > 0) throw new MoveError('sessions-differ', `no longer there or another session: ${namesOf(lost)}`);
  const other = sessions.filter(({ hashes }) => hashes?.up?.same === false || hashes?.down?.same === false);
  if (other.length > 0) throw new MoveError('bytes-differ', `shim and proxy saw other bytes of ${namesOf(other)}`);
}

function namesOf(sessions: readonly SessionRecord[]): string {
  return sessions
    .map(({ stream, sid = '?', serial = '?' }) => `stream ${stream} (SID ${sid}, serial# ${serial})`)
    .join();
}

/** Only for the record: a shim that does not know, or that has bound again since, is no reason to complain. */
async function seenByShim(context: MoveContext, epoch: number): Promise<SeenByShim | undefined> {
  try {
    const agent = await targetAgent(context);
    const seen = await agent.call('fingerprints', moveNames(context), { timeoutMs: 2 * shimMsMax });
    return seen.epoch === epoch ? seen : undefined;
  } catch (err) {
    context.log.warn({ err, move: context.move }, 'the target could not say what its shim has seen of the bytes');
    return undefined;
  }
}

/** Sessions by stream, as they were before; those opened since are no part of the move. */
export function compareSessions(
  before: readonly KnownSession[],
  after: readonly SessionRow[],
  seen?: SeenByShim,
): SessionRecord[] {
  const rows = new Map(after.map((row) => [row.stream, row]));
  const shims = new Map(seen?.sessions.map((each) => [each.stream, each]));
  return before.map((was) => {
    const is = rows.get(was.stream);
    const shim = shims.get(was.stream);
    const up = seenTwice(shim?.up, is?.fingerprint?.up);
    const down = seenTwice(shim?.down, is?.fingerprint?.down);
    return {
      stream: was.stream,
      ...(was.user === undefined ? {} : { user: was.user }),
      ...(was.service === undefined ? {} : { service: was.service }),
      ...(was.sid === undefined ? {} : { sid: was.sid }),
      ...(was.serial === undefined ? {} : { serial: was.serial }),
      transaction: { before: was.transaction, after: is?.transaction ?? 'gone' },
      callsInFlight: { before: was.callsInFlight, after: is?.callsInFlight ?? 0 },
      same: is !== undefined && (was.sid === undefined || (is.sid === was.sid && is.serial === was.serial)),
      ...(up === undefined && down === undefined ? {} : { hashes: { up, down } }),
    };
  });
}

/** Comparable is the same range only: a worker of the proxy that has taken over has seen what came since. */
function seenTwice(shim: Range | undefined, proxy: Range | undefined): Hashes['up'] {
  if (shim === undefined || proxy === undefined || shim.from !== proxy.from || shim.to !== proxy.to) return undefined;
  const { from, to } = shim;
  return { from, to, shim: hexOf(shim.crc), proxy: hexOf(proxy.crc), same: shim.crc === proxy.crc };
}

function hexOf(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
