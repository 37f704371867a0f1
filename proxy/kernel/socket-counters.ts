/**
 * What the kernel knows of a TCP socket: how many bytes were ever written into it, and read out of it. A process that takes
 * over the descriptor of one that was killed learns from this, to the byte, how far the dead one had got.
 *
 * Facts: struct tcp_info grows at its end only (linux/tcp.h). `tcpi_bytes_acked` counts the SYN of the end that dialed, and
 * its FIN; `tcpi_bytes_received` counts the peer's FIN. SIOCOUTQ counts an own FIN that is not acknowledged; SIOCINQ leaves the
 * peer's out (tcp_ioctl and tcp_inq of the kernel). Seen so on Linux 6: test/proxy/kernel/socket-counters.test.ts.
 */
import koffi, { type KoffiFunc } from 'koffi';

const libc = koffi.load(null);
const getsockopt: KoffiFunc<(fd: number, level: number, name: number, value: Buffer, length: number[]) => number> =
  libc.func('int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)');
const ioctl: KoffiFunc<(fd: number, request: number, type: 'void *', value: Buffer) => number> = libc.func(
  'int ioctl(int fd, unsigned long request, ...)',
);

const ipprotoTcp = 6;
const tcpInfo = 11;
/** Other names of FIONREAD and TIOCOUTQ. */
const siocInQ = 0x541b;
const siocOutQ = 0x5411;

const infoBytes = 256;
/** Linux 4.1 and later fill at least so much. */
const infoBytesMin = 136;
const offsets = { state: 0, bytesAcked: 120, bytesReceived: 128 } as const;

/** include/net/tcp_states.h */
const states = { finWait1: 4, finWait2: 5, timeWait: 6, close: 7, closeWait: 8, lastAck: 9, closing: 11 } as const;
const { finWait1, finWait2, timeWait, close, closeWait, lastAck, closing } = states;
const afterPeersFin: ReadonlySet<number> = new Set([closeWait, lastAck, closing, timeWait]);
const afterOwnFin: ReadonlySet<number> = new Set([finWait1, finWait2, lastAck, closing, timeWait]);

export interface SocketCounters {
  /** Bytes the kernel has taken from programs at this end, whether the peer has them or not. */
  readonly writtenBytes: number;
  /** Bytes of the peer that programs at this end have read. */
  readonly readBytes: number;
  /** The same and those that wait in the kernel. */
  readonly arrivedBytes: number;
  /** The peer has ended its direction; all of its bytes are in this kernel. */
  readonly peerEnded: boolean;
  /** Programs at this end have ended theirs. */
  readonly ended: boolean;
}

/**
 * The counters of a TCP socket that was dialed from here.
 * @returns undefined when there is no connection any more: reset by the peer, or no such descriptor
 */
export function socketCounters(fd: number): SocketCounters | undefined {
  const info = Buffer.alloc(infoBytes);
  const length = [infoBytes];
  if (getsockopt(fd, ipprotoTcp, tcpInfo, info, length) !== 0 || (length[0] ?? 0) < infoBytesMin) return undefined;
  const state = info.readUInt8(offsets.state);
  const unacked = queuedBytes(fd, siocOutQ);
  const unread = queuedBytes(fd, siocInQ);
  if (state === close || unacked === undefined || unread === undefined) return undefined;
  const peerEnded = afterPeersFin.has(state);
  const ended = afterOwnFin.has(state);
  const arrivedBytes = Number(info.readBigUInt64LE(offsets.bytesReceived)) - (peerEnded ? 1 : 0);
  return {
    writtenBytes: Number(info.readBigUInt64LE(offsets.bytesAcked)) + unacked - 1 - (ended ? 1 : 0),
    readBytes: arrivedBytes - unread,
    arrivedBytes,
    peerEnded,
    ended,
  };
}

function queuedBytes(fd: number, request: number): number | undefined {
  const bytes = Buffer.alloc(4);
  return ioctl(fd, request, 'void *', bytes) === 0 ? bytes.readInt32LE(0) : undefined;
}
