/**
 * What a keeper and a service manager such as systemd say to each other: sd_notify(3), sd_listen_fds(3), and
 * "File Descriptor Store" of systemd's documentation. The manager keeps a second copy of every descriptor: when the keeper
 * itself dies, the next one finds them where it starts.
 */
import { again, openDatagrams, sendDatagram, unixAddress } from '../kernel/unix-datagram.js';

/** First descriptor that is handed to a service (SD_LISTEN_FDS_START). */
const firstInherited = 3;
/** A manager that does not keep up is asked again after so long. */
const retryMs = 10;

interface Waiting {
  readonly text: string;
  /** Name and descriptor of something to keep. */
  readonly kept?: { readonly name: string; readonly fd: number };
}

type Environment = Readonly<Record<string, string | undefined>>;

export class ServiceManager {
  readonly #socket: number;
  readonly #address: Buffer;
  readonly #failed: (errno: number) => void;
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** The manager wants to hear something so often, milliseconds; undefined: it does not watch. */
  readonly watchdogMs: number | undefined;

  private constructor(address: Buffer, environment: Environment, pid: number, failed: (errno: number) => void) {
    this.#socket = openDatagrams();
    this.#address = address;
    this.#failed = failed;
    const { WATCHDOG_USEC: microseconds, WATCHDOG_PID: watched = String(pid) } = environment;
    const isWatched = microseconds !== undefined && watched === String(pid);
    this.watchdogMs = isWatched && Number(microseconds) > 0 ? Number(microseconds) / 1_000 : undefined;
  }

  /**
   * @param failed something was not said, with the number of the error; what goes on here does not depend on it
   * @returns undefined when nobody wants to be told anything
   */
  static of(environment: Environment, pid: number, failed: (errno: number) => void): ServiceManager | undefined {
    const address = unixAddress(environment.NOTIFY_SOCKET ?? '');
    return address === undefined ? undefined : new ServiceManager(address, environment, pid, failed);
  }

  ready(status: string): void {
    this.#say({ text: `READY=1\n${statusLine(status)}` });
  }

  status(status: string): void {
    this.#say({ text: statusLine(status) });
  }

  /** To be said at least twice in `watchdogMs`. */
  alive(): void {
    this.#say({ text: 'WATCHDOG=1' });
  }

  stopping(): void {
    this.#say({ text: 'STOPPING=1' });
  }

  /** The manager keeps a copy of the descriptor. @param name letters, digits and `-`; the next keeper finds it by this */
  keep(name: string, fd: number): void {
    this.#say({ text: `FDSTORE=1\nFDNAME=${name}`, kept: { name, fd } });
  }

  /** To be said before the descriptor is closed. */
  forget(name: string): void {
    const waiting = this.#waiting.findIndex(({ kept }) => kept?.name === name);
    // Not said yet, and by the time it is the number may be that of another one.
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    else this.#say({ text: `FDSTOREREMOVE=1\nFDNAME=${name}` });
  }

  #say(message: Waiting): void {
    this.#waiting.push(message);
    if (this.#timer === undefined) this.#send();
  }

  #send(): void {
    this.#timer = undefined;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const errno = sendDatagram(this.#socket, this.#address, next.text, next.kept?.fd);
      if (errno === again) {
        this.#timer = setTimeout(() => this.#send(), retryMs);
        this.#timer.unref();
        return;
      }
      if (errno !== 0) this.#failed(errno);
      this.#waiting.shift();
    }
  }
}

/** Descriptors that the manager has kept for this process, by their names. Two of one name: the later one counts. */
export function inheritedDescriptors(environment: Environment, pid: number): ReadonlyMap<string, number> {
  const { LISTEN_PID: whose, LISTEN_FDS: count = '0', LISTEN_FDNAMES: names = '' } = environment;
  if (whose !== String(pid)) return new Map();
  const named = names.split(':').slice(0, Number(count));
  return new Map(named.map((name, index) => [name, firstInherited + index]));
}

/** One line; the rest of what it may be would be taken for something else. */
function statusLine(status: string): string {
  return `STATUS=${status.replaceAll('\n', ' ')}`;
}
