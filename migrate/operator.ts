import type { WorkloadRow } from '../proxy/control/contract.js';
import type { EventOf, ReplyOf, RequestOf } from '../shim/control/rpc.js';
import { type CallOptions, type ControlClient, connectControl } from '../shim/control/rpc-client.js';
import { errorCode } from '../shim/program/errors.js';
import { loadSecurity, type Security, type SecuritySettings, securityOptions } from '../shim/program/security.js';
import { agentAddress, type Cluster, clusterOptions, loadCluster } from './cluster.js';
import { type AgentVerbs, agentContract, type WorkloadInfo } from './contract.js';
import { MoveError } from './errors.js';
import { ProxyView } from './proxy.js';

export const operatorOptions = { ...clusterOptions, ...securityOptions } as const;

/** What the commands of an operator work with: the cluster file, and how to reach what it names. */
export class Operator {
  readonly cluster: Cluster;
  readonly proxy: ProxyView;
  readonly #security: Security;

  constructor(settings: SecuritySettings & { readonly cluster: string }) {
    this.cluster = loadCluster(settings.cluster);
    this.#security = loadSecurity(settings);
    this.proxy = new ProxyView({ address: this.cluster.proxy.control, security: this.#security });
  }

  get nodes(): readonly string[] {
    return Object.keys(this.cluster.nodes);
  }

  /** One call to the agent of a node. @throws {MoveError} unknown-node, agent-unreachable; or what the agent answers */
  async ask<Name extends keyof AgentVerbs>(
    node: string,
    verb: Name,
    request: RequestOf<AgentVerbs[Name]>,
    options: CallOptions<EventOf<AgentVerbs[Name]>> = {},
  ): Promise<ReplyOf<AgentVerbs[Name]>> {
    const client = await this.#connect(node);
    try {
      return await client.call(verb, request, options);
    } finally {
      await client.close();
    }
  }

  /** The same question to all nodes; those that do not answer have an error instead. */
  askAll<Name extends keyof AgentVerbs>(
    verb: Name,
    request: RequestOf<AgentVerbs[Name]>,
  ): Promise<readonly ({ node: string } & Answer<ReplyOf<AgentVerbs[Name]>>)[]> {
    const ask = async (node: string) => ({
      node,
      ...(await answerOf('agent-unreachable', `agent of ${node}`, this.ask(node, verb, request))),
    });
    return Promise.all(this.nodes.map(ask));
  }

  /** The workloads that the proxy knows, or why it does not answer. */
  askProxy(): Promise<Answer<readonly WorkloadRow[]>> {
    return answerOf('proxy-unreachable', 'the proxy', this.proxy.workloads());
  }

  /** Where a workload is. @throws {MoveError} unknown-workload, agent-unreachable */
  async find(name: string): Promise<WorkloadInfo> {
    const answers = await this.askAll('workloads', {});
    const found = answers.flatMap(({ reply }) => reply ?? []).find((workload) => workload.name === name);
    if (found !== undefined) return found;
    const silent = answers.filter(({ error }) => error !== undefined);
    if (silent.length === 0)
      throw new MoveError('unknown-workload', `there is no workload ${name} at ${this.nodes.join(', ')}`);
    const reasons = silent.map(({ error }) => error?.message).join('; ');
    const code = silent[0]?.error?.code ?? 'agent-unreachable';
    throw new MoveError(code, `${name} is at no node that answers: ${reasons}`);
  }

  async #connect(node: string): Promise<ControlClient<AgentVerbs>> {
    const address = agentAddress(this.cluster, node);
    try {
      return await connectControl(agentContract, { address, security: this.#security });
    } catch (cause) {
      const hint = errorCode(cause) === 'unreachable' ? ', is it running?' : '';
      throw MoveError.noAnswer('agent-unreachable', `agent of ${node}${hint}`, cause);
    }
  }
}

export interface Answer<T> {
  readonly reply?: T;
  readonly error?: MoveError;
}

async function answerOf<T>(
  code: Parameters<typeof MoveError.noAnswer>[0],
  who: string,
  reply: Promise<T>,
): Promise<Answer<T>> {
  try {
    return { reply: await reply };
  } catch (cause) {
    return { error: MoveError.noAnswer(code, who, cause) };
  }
}
