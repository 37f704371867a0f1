import { proxyContract, type SessionRow, type WorkloadRow } from '../proxy/control/contract.js';
import { type ControlTarget, callControl } from '../shim/control/rpc-client.js';
import type { Address } from '../shim/program/address.js';
import type { Security } from '../shim/program/security.js';
import { MoveError } from './errors.js';

/** The name of a workload, and which life of its shim. */
export interface Life {
  readonly name: string;
  readonly instance: string;
}

/** What moves ask of the proxy. */
export class ProxyView {
  readonly #target: ControlTarget;

  constructor(address: Address, security: Security) {
    this.#target = { address, security, expect: { role: 'proxy' } };
  }

  /** @throws {MoveError} proxy-unreachable, not-authorised */
  async workloads(): Promise<readonly WorkloadRow[]> {
    return this.#ask(async () => (await callControl(proxyContract, this.#target, 'workloads', {})).workloads);
  }

  /**
   * One life of a workload. The sessions of an earlier one, whose shim was restarted, may still be held under the same name.
   * @throws {MoveError} proxy-unreachable, not-authorised
   */
  async workload({ name, instance }: Life): Promise<WorkloadRow | undefined> {
    return (await this.workloads()).find((row) => row.name === name && row.instance === instance);
  }

  /** Of one life of a workload, or of all. @throws {MoveError} proxy-unreachable, not-authorised */
  async sessions(life?: Life): Promise<readonly SessionRow[]> {
    const request = life === undefined ? {} : { workload: life.name };
    const ask = () => callControl(proxyContract, this.#target, 'sessions', request);
    const { sessions } = await this.#ask(ask);
    return sessions.filter(({ instance }) => life === undefined || instance === life.instance);
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (cause) {
      throw MoveError.noAnswer('proxy-unreachable', 'the proxy', cause);
    }
  }
}
