import { proxyContract, type SessionRow, type WorkloadRow } from '../proxy/control/contract.js';
import { type ControlTarget, callControl } from '../shim/control/rpc-client.js';
import { MoveError } from './errors.js';

/** What moves ask of the proxy. */
export class ProxyView {
  readonly #target: ControlTarget;

  constructor(target: ControlTarget) {
    this.#target = target;
  }

  /** @throws {MoveError} proxy-unreachable */
  async workloads(): Promise<readonly WorkloadRow[]> {
    return this.#ask(async () => (await callControl(proxyContract, this.#target, 'workloads', {})).workloads);
  }

  async workload(name: string): Promise<WorkloadRow | undefined> {
    return (await this.workloads()).find((row) => row.name === name);
  }

  /** Of one workload, or of all. @throws {MoveError} proxy-unreachable */
  async sessions(workload?: string): Promise<readonly SessionRow[]> {
    const request = workload === undefined ? {} : { workload };
    return this.#ask(async () => (await callControl(proxyContract, this.#target, 'sessions', request)).sessions);
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (cause) {
      throw MoveError.from('proxy-unreachable', 'the proxy', cause);
    }
  }
}
