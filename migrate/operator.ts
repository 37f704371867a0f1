import { hostname, userInfo } from 'node:os';
import type { Asker } from '../proxy/control/contract.js';
import type { EventOf, ReplyOf, RequestOf } from '../shim/control/rpc.js';
import { type CallOptions, type ControlClient, connectControl } from '../shim/control/rpc-client.js';
import { errorCode } from '../shim/program/errors.js';
import { loadSecurity, type Security, type SecuritySettings, securityOptions } from '../shim/program/security.js';
import { agentAddress, type Cluster, clusterOptions, loadCluster } from './cluster.js';
import { type AgentVerbs, agentContract, type WorkloadInfo } from './contract.js';
import { MoveError } from './errors.js';
import { actorCharactersMax } from './limits.js';
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
    this.proxy = new ProxyView(this.cluster.proxy.control, this.#security);
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
    } catch (cause) {
      if (errorCode(cause) !== 'closed') throw cause;
      const advice = 'start it again: what it had begun it finishes or takes back';
      throw new MoveError('agent-unreachable', `agent of ${node} has gone away (${advice})`, { cause });
    } finally {
      await client.close();
    }
  }

  /** The same question to all nodes; those that do not answer have an error instead. */
  askAll<Name extends keyof AgentVerbs>(
    verb: Name,
    request: RequestOf<AgentVerbs[Name]>,
  ): Promise<readonly NodeAnswer<ReplyOf<AgentVerbs[Name]>>[]> {
    return Promise.all(this.#askEach(verb, request));
  }

  /** The workloads that the proxy knows, or why it does not answer. */
  askProxy(): Promise<Answer<Awaited<ReturnType<ProxyView['list']>>>> {
    return answerOf('proxy-unreachable', 'the proxy', this.proxy.list());
  }

  /**
   * Where a workload is. The first node that has it is enough: whoever has to move away from a hung node cannot wait for it.
   * @throws {MoveError} unknown-workload, agent-unreachable, not-authorised
   */
  async find(name: string): Promise<WorkloadInfo> {
    const answers = this.#askEach('workloads', {});
    const finds = answers.map(async (answer) => {
      const found = (await answer).reply?.find((workload) => workload.name === name);
      return found ?? Promise.reject();
    });
    const found = await Promise.any(finds).catch(() => undefined);
    if (found !== undefined) return found;
    const silent = (await Promise.all(answers)).flatMap(({ error }) => error ?? []);
    const [first] = silent;
    if (first === undefined)
      throw new MoveError('unknown-workload', `there is no workload ${name} at ${this.nodes.join(', ')}`);
    const reasons = silent.map(({ message }) => message).join('; ');
    throw new MoveError(first.code, `${name} is at no node that answers: ${reasons}`);
  }

  #askEach<Name extends keyof AgentVerbs>(
    verb: Name,
    request: RequestOf<AgentVerbs[Name]>,
  ): readonly Promise<NodeAnswer<ReplyOf<AgentVerbs[Name]>>>[] {
    return this.nodes.map(async (node) => ({
      node,
      ...(await answerOf('agent-unreachable', `agent of ${node}`, this.ask(node, verb, request))),
    }));
  }

  async #connect(node: string): Promise<ControlClient<AgentVerbs>> {
    const address = agentAddress(this.cluster, node);
    try {
      return await connectControl(agentContract, {
        address,
        security: this.#security,
        expect: { role: 'agent', name: node },
      });
    } catch (cause) {
      const hint = errorCode(cause) === 'unreachable' ? ', is it running?' : '';
      throw MoveError.noAnswer('agent-unreachable', `agent of ${node}${hint}`, cause);
    }
  }
}

/** Who gives the command, for audit logs: the account behind sudo, where that is how one becomes root. */
export function whoAsks(): Asker {
  const user = process.env.SUDO_USER || accountName();
  return { user: user.slice(0, actorCharactersMax), host: hostname().slice(0, actorCharactersMax) };
}

/** An account that is in no list (a container with a number for a user) has only that number. */
function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}

export interface Answer<T> {
  readonly reply?: T;
  readonly error?: MoveError;
}

type NodeAnswer<T> = Answer<T> & { readonly node: string };

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
