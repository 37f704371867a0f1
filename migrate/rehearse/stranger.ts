/**
 * Somebody who dials the proxy and is not the shim that it serves: a copy of it (copies.ts), or one that has nothing but a name. It
 * speaks as shims do, over TCP and with the secret of the installation, and is to be refused.
 */
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { setTimeout } from 'node:timers/promises';
import tls from 'node:tls';
import {
  decodeRejected,
  decodeResumeOk,
  defaultLimits,
  type Epoch,
  encodeResume,
  frameTypes,
  type LinkError,
  protocolVersion,
  type Resume,
  type ResumeOk,
  tokenBytes,
  type Verdict,
} from '../../shim/link/index.js';
import { LinkSocket } from '../../shim/link/socket.js';
import type { Address } from '../../shim/program/address.js';
import { clientTls, type Security } from '../../shim/program/security.js';
import { linkServerName } from '../../shim/program/server-name.js';

/** An application that is at work, as the proxy shows it. */
export interface Impersonated {
  readonly name: string;
  readonly instance: string;
  readonly epoch: number;
}

/** What somebody gets who has the name of a workload and not what its shim remembers. */
export const strangerVerdicts = [
  'not-authorised',
  'unknown-workload',
  'try-later',
] as const satisfies readonly Verdict[];
export type StrangerVerdict = (typeof strangerVerdicts)[number];

const answerMsMax = 20_000;
const presentedMax = 200;
const presentedAgainMs = 50;

export class Stranger {
  readonly #proxy: Address;
  readonly #security: Security;

  constructor(proxy: Address, security: Security) {
    this.#proxy = proxy;
    this.#security = security;
  }

  /** Presents what asks for this verdict. @returns the verdict that it got; `bound` where it was let in */
  async ask(wanted: StrangerVerdict, { name: workload, instance, epoch }: Impersonated): Promise<Verdict | 'bound'> {
    const token = randomBytes(tokenBytes);
    const other = randomBytes(16).toString('hex');
    switch (wanted) {
      case 'not-authorised':
        return this.#verdict(resume({ workload, instance, epoch, token }));
      case 'unknown-workload':
        return this.#verdict(resume({ workload, instance: other, epoch, token }));
      case 'try-later':
        return this.#verdict(resume({ workload, instance: other, epoch: 0, token: Buffer.alloc(0) }));
    }
  }

  /**
   * As a shim that was restored from an image: who is told to come later comes again, and as long as the shim itself has yet
   * to confirm its bind, its copies are.
   */
  async present(image: Resume): Promise<Verdict | 'bound'> {
    for (let attempt = image.attempt + 1; ; attempt += 1) {
      const verdict = await this.#verdict({ ...image, attempt });
      if (verdict !== 'try-later' || attempt > image.attempt + presentedMax) return verdict;
      await setTimeout(presentedAgainMs);
    }
  }

  async #verdict(presented: Resume): Promise<Verdict | 'bound'> {
    const dialed = this.#dial(presented);
    try {
      const answer = await dialed.answer;
      return 'verdict' in answer ? answer.verdict : 'bound';
    } finally {
      dialed.socket.destroy();
    }
  }

  #dial(presented: Resume): Dialed {
    const target = { host: this.#proxy.host, port: this.#proxy.port };
    const secured = clientTls(this.#security, 'link', { role: 'proxy' });
    const servername = linkServerName(presented.workload);
    const wire = secured === undefined ? net.connect(target) : tls.connect({ ...target, ...secured, servername });
    const dialed = new Dialed(wire);
    wire.once(secured === undefined ? 'connect' : 'secureConnect', () =>
      dialed.socket.sendControl(encodeResume(presented)),
    );
    return dialed;
  }
}

/** As a shim that has no streams, and never had one. */
function resume(of: { workload: string; instance: string; epoch: number; token: Buffer }): Resume {
  const { windowBytes } = defaultLimits;
  const account = { lastStream: 0, sentTotal: 0, receivedTotal: 0, windowBytes, streams: [] };
  return { version: protocolVersion, ...of, epoch: of.epoch as Epoch, attempt: 1, ...account };
}

type Answer = ResumeOk | { readonly verdict: Verdict };

/** One connection to the proxy. */
class Dialed {
  readonly socket: LinkSocket;
  readonly answer: Promise<Answer>;
  readonly #heard = new EventEmitter<{ answer: [Answer]; error: [LinkError] }>();

  constructor(wire: net.Socket) {
    // One that is cut when nobody waits is over anyway.
    this.#heard.on('error', () => undefined);
    this.socket = new LinkSocket(wire, defaultLimits, {
      control: (type, payload) => {
        if (type === frameTypes.rejected) this.#heard.emit('answer', decodeRejected(payload));
        else if (type === frameTypes.resumeOk) this.#heard.emit('answer', decodeResumeOk(payload));
      },
      delivered: () => false,
      cut: (error) => void this.#heard.emit('error', error),
    });
    this.answer = once(this.#heard, 'answer', { signal: AbortSignal.timeout(answerMsMax) }).then(([answer]) => answer);
  }
}
