/** What the findings mean for a move, and what to change. Pure. */
import { Capability, CapabilityBit, fieldVersions, offeredCapabilities } from '../../proxy/ttc/index.js';
import { shownMs } from '../output.js';
import type { Findings } from './probe.js';

/** `good`: nothing to do. `note`: works, with something to know. `policy`: moves only when somebody allows it. */
export type Level = 'good' | 'note' | 'policy';

export interface Row {
  readonly what: string;
  /** What this connection negotiates. */
  readonly here: string;
  readonly level: Level;
  /** What it means for a move. */
  readonly means: string;
  /** What to change, where there is anything to gain. */
  readonly change?: string;
}

export interface Report {
  readonly address: string;
  /** May sessions that come this way move: watched, or only by policy (`holdfast move --allow-unknown`). */
  readonly verdict: 'watched' | 'by-policy';
  readonly rows: readonly Row[];
}

/** Since 19c drivers see everything that the tracker needs. */
const attention = 0x0400;
const sduSmallBytes = 8_192;

export function reportOn(findings: Findings): Report {
  const rows = [way, protocol, sdu, encryption, compression, breaks, login, responses, transactions, server].map(
    (row) => row(findings),
  );
  const verdict = rows.some(({ level }) => level === 'policy') ? 'by-policy' : 'watched';
  return { address: findings.address, verdict, rows };
}

function way({ address, redirects, elapsedMs }: Findings): Row {
  const here = `${address} accepts, after ${shownMs(elapsedMs)}`;
  if (redirects.length === 0)
    return { what: 'listener', here, level: 'good', means: 'the driver connects to one address only' };
  return {
    what: 'listener',
    here: `${here} and ${redirects.length} redirects`,
    level: 'note',
    means: 'this is the listener itself: a driver follows its redirects past any proxy',
    change: 'connect to the shim; holdfast-proxy follows redirects for the driver',
  };
}

function protocol({ accept: { version, lengthForm } }: Findings): Row {
  const here = `version ${version}, lengths of ${lengthForm === 'u32' ? 32 : 16} bits`;
  return { what: 'protocol', here, level: 'good', means: 'packets are watched in every version' };
}

function sdu({ accept: { sduBytes } }: Findings): Row {
  const row = { what: 'SDU', here: `up to ${sduBytes} bytes`, level: 'good', means: 'any size is carried' } as const;
  if (sduBytes > sduSmallBytes) return row;
  return { ...row, change: 'for large results raise DEFAULT_SDU_SIZE at the database and SDU in the connect string' };
}

function encryption({ tls, accept, requiresServices }: Findings): Row {
  const what = 'encryption';
  const opaque = 'calls and transactions cannot be seen: moves with --allow-unknown only';
  if (tls) {
    return {
      what,
      here: 'TLS from here to the database',
      level: 'policy',
      means: opaque,
      change: 'let drivers speak plain TCP to the shim on loopback, and give holdfast-proxy --database tcps://...',
    };
  }
  const instead =
    'set SQLNET.ENCRYPTION_SERVER and SQLNET.CRYPTO_CHECKSUM_SERVER to accepted, and use tcps:// for the proxy';
  if (requiresServices) {
    return { what, here: 'native network encryption, required', level: 'policy', means: opaque, change: instead };
  }
  if (accept.nativeServices) {
    return { what, here: 'native services are negotiated', level: 'policy', means: opaque, change: instead };
  }
  return {
    what,
    here: 'none for drivers that ask for none',
    level: 'good',
    means: 'calls and transactions can be seen',
  };
}

function compression({ accept }: Findings): Row {
  if (!accept.compression)
    return { what: 'compression', here: 'none', level: 'good', means: 'calls and transactions can be seen' };
  return {
    what: 'compression',
    here: 'on, for drivers that offer it',
    level: 'note',
    means: 'not through Holdfast: there it is not offered to the database',
    change: 'nothing; the link between shim and proxy carries what the driver would have compressed',
  };
}

function breaks({ accept }: Findings): Row {
  if ((accept.options & attention) === 0) {
    return {
      what: 'breaks',
      here: 'in band',
      level: 'good',
      means: 'breaks and call timeouts are delivered in order, after a move too',
    };
  }
  return {
    what: 'breaks',
    here: 'out of band, so this is not the way through Holdfast',
    level: 'note',
    means: 'through the shim they are negotiated to be in band',
    change: 'connect to the shim',
  };
}

function login({ accept }: Findings): Row {
  const here = accept.fastAuth
    ? 'fast authentication in one round trip'
    : 'negotiation and authentication in four round trips';
  return {
    what: 'login',
    here,
    level: 'good',
    means: 'passwords pass as they are; a login that a move interrupts goes on',
  };
}

function responses({ accept }: Findings): Row {
  const here = accept.endOfResponse ? 'their end is marked' : 'their end is found by their status';
  return {
    what: 'responses',
    here,
    level: 'good',
    means: 'calls in flight are counted; their answers are kept and delivered',
  };
}

function transactions({ accept, server: reply }: Findings): Row {
  const what = 'transactions';
  if (reply === undefined) {
    const why = accept.nativeServices
      ? 'services are negotiated first'
      : 'the database did not answer the protocol message';
    return {
      what,
      here: `not known: ${why}`,
      level: accept.nativeServices ? 'policy' : 'note',
      means: 'look at a session with holdfast sessions',
    };
  }
  const { endOfCallStatus } = offeredCapabilities(reply);
  const ltxid = ((reply.compile[Capability.ttc3] ?? 0) & CapabilityBit.ltxid) !== 0;
  const outcome = ltxid ? '; outcome of a commit can be asked for (LTXID)' : '';
  if (endOfCallStatus)
    return { what, here: `told at the end of each call${outcome}`, level: 'good', means: 'open or not is known' };
  return { what, here: 'not told', level: 'policy', means: 'open or not is unknown: moves with --allow-unknown only' };
}

function server({ server: reply }: Findings): Row {
  if (reply === undefined) return { what: 'server', here: 'has not said', level: 'note', means: '' };
  const { fieldVersion } = offeredCapabilities(reply);
  return {
    what: 'server',
    here: `${reply.banner}, calls as of ${releaseOf(fieldVersion)}`,
    level: 'good',
    means: 'nothing depends on it',
  };
}

function releaseOf(fieldVersion: number): string {
  const releases = [
    [fieldVersions.v23_1, '23ai'],
    [fieldVersions.v21_1, '21c'],
    [fieldVersions.v19_1, '19c'],
    [fieldVersions.v18_1ext1, '18c'],
    [fieldVersions.v12_2, '12.2'],
    [fieldVersions.v12_1, '12.1'],
  ] as const;
  return releases.find(([least]) => fieldVersion >= least)?.[1] ?? '11g or before';
}
