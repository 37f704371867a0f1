/**
 * Datagrams to a Unix socket, with or without a descriptor in them. Node.js has neither. The layouts are those of Linux on
 * machines of 64 bits: sockaddr_un (unix(7)), msghdr and cmsghdr (recvmsg(2), cmsg(3)).
 */
import koffi, { type KoffiFunc } from 'koffi';

const libc = koffi.load(null);
koffi.struct('hf_iovec', { base: 'void *', length: 'size_t' });
koffi.struct('hf_msghdr', {
  name: 'void *',
  nameLength: 'uint32_t',
  parts: 'hf_iovec *',
  partsLength: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});

interface Message {
  readonly name: Buffer;
  readonly nameLength: number;
  readonly parts: readonly { readonly base: Buffer; readonly length: number }[];
  readonly partsLength: number;
  readonly control: Buffer | null;
  readonly controlLength: number;
  readonly flags: number;
}

const socket: KoffiFunc<(domain: number, type: number, protocol: number) => number> = libc.func(
  'int socket(int domain, int type, int protocol)',
);
const sendmsg: KoffiFunc<(fd: number, message: Message, flags: number) => number> = libc.func(
  'intptr_t sendmsg(int fd, const hf_msghdr *message, int flags)',
);

const afUnix = 1;
const sockDgram = 2;
const sockCloexec = 0o2000000;
const solSocket = 1;
const scmRights = 1;
const msgDontwait = 0x40;
const msgNosignal = 0x4000;
/** sizeof sun_path */
const pathBytesMax = 108;

export const { EAGAIN: again } = koffi.os.errno;

/** @returns a descriptor, which is not inherited; -1 when there is none to be had */
export function openDatagrams(): number {
  return socket(afUnix, sockDgram | sockCloexec, 0);
}

/** @param path of a file; with `@` in front, a name of the abstract kind @returns undefined when it is too long, or none */
export function unixAddress(path: string): Buffer | undefined {
  const isAbstract = path.startsWith('@');
  const bytes = Buffer.from(isAbstract ? `\0${path.slice(1)}` : `${path}\0`);
  if (bytes.length > pathBytesMax || !(isAbstract || path.startsWith('/'))) return undefined;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(afUnix);
  return Buffer.concat([family, bytes]);
}

/**
 * Sends one datagram, and waits for nobody.
 * @param passed a descriptor of this process, of which the receiver gets its own
 * @returns 0, or the number of the error: `again` when the receiver is not keeping up
 */
export function sendDatagram(fd: number, to: Buffer, text: string, passed?: number): number {
  const bytes = Buffer.from(text);
  const control = passed === undefined ? null : rights(passed);
  const message: Message = {
    name: to,
    nameLength: to.length,
    parts: [{ base: bytes, length: bytes.length }],
    partsLength: 1,
    control,
    controlLength: control?.length ?? 0,
    flags: 0,
  };
  return sendmsg(fd, message, msgDontwait | msgNosignal) < 0 ? koffi.errno() : 0;
}

/** struct cmsghdr with one descriptor, padded as CMSG_SPACE asks for. */
function rights(fd: number): Buffer {
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(solSocket, 8);
  control.writeInt32LE(scmRights, 12);
  control.writeInt32LE(fd, 16);
  return control;
}
