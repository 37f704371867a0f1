import { setTimeout } from 'node:timers/promises';
import {
  type Missing,
  proxyContract,
  type SessionRow,
  type StatusRow,
  type WorkloadRow,
} from '../proxy/control/contract.js';
import type { ReplyOf, RequestOf } from '../shim/control/rpc.js';
import { type ControlTarget, callControl } from '../shim/control/rpc-client.js';
import type { Address } from '../shim/program/address.js';
import { errorCode } from '../shim/program/errors.js';
import type { Security } from '../shim/program/security.js';
import { MoveError } from './errors.js';

/** The name of a workload, and which life of its shim. */
export interface Life {
  readonly name: string;
  readonly instance: string;
}

type Verbs = (typeof proxyContract)['verbs'];
/** The workload an operator decides about, and who decides. */
export type Wanted = RequestOf<Verbs['pinHold']>;

/** Codes that say nothing of what was asked; all others are the proxy's answer. */
const aboutConnection = new Set([
  'unreachable',
  'timeout',
  'closed',
  'not-authorised',
  'wrong-contract',
  'worker-away',
  'unknown',
]);

/** What a caller sees of a worker that goes away. */
const cutOff = new Set(['closed', 'unreachable']);
const attemptsMax = 3;
const pauseMs = 150;

/** What moves and operators ask of the proxy. */
export class ProxyView {
  readonly #target: ControlTarget;

  constructor(address: Address, security: Security) {
    this.#target = { address, security, expect: { role: 'proxy' } };
  }

  /** @throws {MoveError} proxy-unreachable, not-authorised */
  async workloads(): Promise<readonly WorkloadRow[]> {
    return whole(await this.list()).workloads;
  }

  /** The same, with the version of the proxy, and whatever workers of it did not answer. @throws {MoveError} proxy-unreachable, not-authorised */
  list(): Promise<ReplyOf<Verbs['workloads']>> {
    return this.#call('workloads', {});
  }

  /**
   * One life of a workload. The sessions of an earlier one, whose shim was restarted, may still be held under the same name.
   * @throws {MoveError} proxy-unreachable, not-authorised
   */
  async workload({ name, instance }: Life): Promise<WorkloadRow | undefined> {
    const { workloads } = whole(await this.#call('workloads', { workload: name }));
    return workloads.find((row) => row.name === name && row.instance === instance);
  }

  /** Of one life of a workload, or of all. @throws {MoveError} proxy-unreachable, not-authorised */
  async sessions(life?: Life): Promise<readonly SessionRow[]> {
    const request = life === undefined ? {} : { workload: life.name };
    const { sessions } = whole(await this.#call('sessions', request));
    return sessions.filter(({ instance }) => life === undefined || instance === life.instance);
  }

  /** Of all workloads, and what workers of the proxy did not answer. @throws {MoveError} proxy-unreachable, not-authorised */
  sessionList(): Promise<ReplyOf<Verbs['sessions']>> {
    return this.#call('sessions', {});
  }

  /** @throws {MoveError} proxy-unreachable, not-authorised */
  holds(): Promise<ReplyOf<Verbs['holds']>> {
    return this.#call('holds', {});
  }

  /** @throws {MoveError} proxy-unreachable, not-authorised */
  status(): Promise<StatusRow> {
    return this.#call('status', {});
  }

  /** Asks for another worker; `status` tells when it is there. @throws {MoveError} proxy-unreachable, not-authorised */
  upgrade(): Promise<object> {
    return this.#call('upgrade', {});
  }

  /** For the proxy's audit log. @throws {MoveError} proxy-unreachable, not-authorised */
  noteMove(request: RequestOf<Verbs['noteMove']>): Promise<object> {
    return this.#call('noteMove', request);
  }

  /** @throws {ControlError} unknown-workload, not-held, bad-request @throws {MoveError} proxy-unreachable, not-authorised; the same for those that follow */
  extendHold(request: RequestOf<Verbs['extendHold']>): Promise<ReplyOf<Verbs['extendHold']>> {
    return this.#call('extendHold', request);
  }
  pinHold(request: Wanted): Promise<ReplyOf<Verbs['pinHold']>> {
    return this.#call('pinHold', request);
  }
  unpinHold(request: Wanted): Promise<ReplyOf<Verbs['unpinHold']>> {
    return this.#call('unpinHold', request);
  }
  releaseHold(request: RequestOf<Verbs['releaseHold']>): Promise<ReplyOf<Verbs['releaseHold']>> {
    return this.#call('releaseHold', request);
  }

  /** Rules of faults; a worker that was replaced knows them no more. @throws {ControlError} faults-not-allowed, too-many-faults */
  injectAdd(request: RequestOf<Verbs['injectAdd']>): Promise<ReplyOf<Verbs['injectAdd']>> {
    return this.#call('injectAdd', request);
  }
  injectRemove(request: RequestOf<Verbs['injectRemove']>): Promise<ReplyOf<Verbs['injectRemove']>> {
    return this.#call('injectRemove', request);
  }
  injectList(): Promise<ReplyOf<Verbs['injectList']>> {
    return this.#call('injectList', {});
  }
  injectWatch(request: RequestOf<Verbs['injectWatch']>): Promise<ReplyOf<Verbs['injectWatch']>> {
    return this.#call('injectWatch', request);
  }

  async #call<Name extends keyof Verbs>(verb: Name, request: RequestOf<Verbs[Name]>): Promise<ReplyOf<Verbs[Name]>> {
    try {
      return await this.#callAgain(verb, request);
    } catch (cause) {
      if (aboutConnection.has(errorCode(cause) ?? 'unknown')) {
        throw MoveError.noAnswer('proxy-unreachable', 'the proxy', cause);
      }
      throw cause;
    }
  }

  /**
   * A worker of the proxy that dies or is replaced takes its connections along; the next one answers. No verb minds being said
   * twice.
   */
  async #callAgain<Name extends keyof Verbs>(
    verb: Name,
    request: RequestOf<Verbs[Name]>,
  ): Promise<ReplyOf<Verbs[Name]>> {
    for (let left = attemptsMax; ; left -= 1) {
      try {
        return await callControl(proxyContract, this.#target, verb, request);
      } catch (cause) {
        if (left <= 1 || !cutOff.has(errorCode(cause) ?? '')) throw cause;
        await setTimeout(pauseMs);
      }
    }
  }
}

/** Who decides by a list must not take what is missing in it for gone. @throws {MoveError} proxy-unreachable */
function whole<Reply extends { readonly missing?: readonly Missing[] | undefined }>(reply: Reply): Reply {
  const [first] = reply.missing ?? [];
  if (first !== undefined) throw new MoveError('proxy-unreachable', `the proxy: ${first.why}`);
  return reply;
}
