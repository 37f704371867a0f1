import { type Attached, type SeenByShim, type ShimStatus, shimContract } from '../shim/control/contract.js';
import { callControl, connectControl } from '../shim/control/rpc-client.js';
import { errorCode } from '../shim/program/errors.js';
import { MoveError } from './errors.js';
import { bindMsMax, shimMsMax } from './limits.js';

/**
 * What moves ask of a shim. Each call has a connection of its own that is closed on both ends when it returns: a socket that
 * leads out of a tree would keep CRIU from freezing it.
 */
export class ShimView {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {MoveError} shim-unreachable */
  async status(): Promise<ShimStatus> {
    try {
      return await callControl(shimContract, { path: this.#path }, 'status', {}, { timeoutMs: shimMsMax });
    } catch (cause) {
      throw MoveError.from('shim-unreachable', 'the shim', cause);
    }
  }

  /**
   * @param begins called right before the application begins to wait
   * @throws {MoveError} detach-failed
   */
  async detach(begins?: () => void): Promise<void> {
    try {
      const shim = await connectControl(shimContract, { path: this.#path });
      try {
        begins?.();
        await shim.call('detach', {}, { timeoutMs: shimMsMax });
      } finally {
        await shim.close();
      }
    } catch (cause) {
      throw MoveError.from('detach-failed', 'the shim did not detach', cause);
    }
  }

  /** @throws {MoveError} bind-refused (a verdict of the proxy), bind-failed (no answer, or none that is certain) */
  async attach(request: { readonly localAddress?: string } = {}): Promise<Attached> {
    try {
      return await callControl(shimContract, { path: this.#path }, 'attach', request, { timeoutMs: bindMsMax });
    } catch (cause) {
      const refused = errorCode(cause)?.startsWith('refused-') ?? false;
      throw MoveError.from(
        refused ? 'bind-refused' : 'bind-failed',
        errorCode(cause) ?? 'the shim did not bind',
        cause,
      );
    }
  }

  /** @throws {MoveError} shim-unreachable; also from one that is too old to know */
  async fingerprints(): Promise<SeenByShim> {
    try {
      return await callControl(shimContract, { path: this.#path }, 'fingerprints', {}, { timeoutMs: shimMsMax });
    } catch (cause) {
      throw MoveError.from('shim-unreachable', 'the shim', cause);
    }
  }
}
