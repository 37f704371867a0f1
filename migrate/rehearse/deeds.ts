import { setTimeout } from 'node:timers/promises';
import type { Program } from '../../fixtures/lab/program.js';
import type { NodeName } from '../../fixtures/lab/world.js';
import { errorCode, errorText } from '../../shim/program/errors.js';
import { whoAsks } from '../operator.js';
import type { MoveEvent, MoveRecord } from '../record.js';
import type { Deed } from '../scenario/schema.js';
import { descendants, readOrNothing, signal } from '../workload/process.js';
import { takeImage } from './copies.js';
import type { Ground } from './ground.js';
import { machineMs } from './plan.js';
import type { StrangerVerdict } from './stranger.js';

/** A deed that was done, for timelines and counts. */
export interface Done {
  /** One kind of fault. */
  readonly kind: string;
  readonly beganMs: number;
  readonly endedMs: number;
  /** In which the application got no answer, as the record of a move says. */
  readonly blackoutMs: number;
  /** Name of the application, where it is about one. */
  readonly application: string | undefined;
  /** It has had an effect: a process was hit, a move was made or refused as it must. */
  readonly acted: boolean;
  readonly detail: string;
}

const workerMsMax = 60_000;
/** Until a move that was hit is finished or taken back. */
const settleMsMax = 60_000;
const pollMs = 20;

/** Does what a scenario says to processes and moves. */
export class Deeds {
  readonly #ground: Ground;
  readonly #applications: readonly string[];
  readonly done: Done[] = [];

  constructor(ground: Ground, applications: readonly string[]) {
    this.#ground = ground;
    this.#applications = applications;
  }

  /** Resolves when it is over, with the time for which something is frozen. */
  async perform(deed: Deed): Promise<Done> {
    const beganMs = machineMs();
    const application = 'application' in deed ? this.#name(deed.application) : undefined;
    const { acted, detail, blackoutMs = 0 } = await this.#perform(deed).catch(noEffect);
    const done = { kind: kindOf(deed), beganMs, endedMs: machineMs(), blackoutMs, application, acted, detail };
    this.done.push(done);
    return done;
  }

  async #perform(deed: Deed): Promise<Effect> {
    switch (deed.kind) {
      case 'move':
        return effectOf(await this.#move(this.#name(deed.application)));
      case 'move-hit':
        return this.#moveHit(deed);
      case 'two-moves':
        return this.#twoMoves(this.#name(deed.application));
      case 'detach':
        return this.#detach(this.#name(deed.application), () => setTimeout(deed.forMs));
      case 'release':
        return this.#detach(this.#name(deed.application), () => this.#release(this.#name(deed.application)));
      case 'stranger':
        return this.#stranger(this.#name(deed.application), deed.verdict);
      case 'copy':
        return this.#copy(deed);
      case 'upgrade':
        return this.#upgrade();
      case 'kill':
        return deed.what === 'agent' ? this.#killAgent('node-a') : this.#kill(deed);
      case 'freeze':
        return this.#freeze(deed);
    }
  }

  #name(application: number): string {
    const name = this.#applications[application - 1];
    if (name === undefined) throw new Error(`there is no application ${application}`);
    return name;
  }

  async #move(
    name: string,
    onEvent: (event: MoveEvent, from: NodeName) => void = () => undefined,
  ): Promise<MoveRecord> {
    const { operator } = this.#ground;
    const node = nodeOf(await operator.find(name));
    const request = { name, to: otherThan(node), mover: 'relink', by: whoAsks() } as const;
    return operator.ask(node, 'move', request, { timeoutMs: 0, onEvent: (event) => onEvent(event, node) });
  }

  /** It has an effect when it came to that phase, and one copy goes on, wherever. */
  async #moveHit({ application, phase, hit, forMs }: Extract<Deed, { kind: 'move-hit' }>): Promise<Effect> {
    const name = this.#name(application);
    const [verb = '', what = ''] = hit.split(' ');
    let struck: Promise<Effect> | undefined;
    const ended = this.#move(name, (event, from) => {
      if (event.kind !== 'phase' || event.phase !== phase || struck !== undefined) return;
      const agent = what === 'target-agent' ? otherThan(from) : from;
      if (what.endsWith('agent')) struck = verb === 'kill' ? this.#killAgent(agent) : this.#freezeAgent(agent, forMs);
      else if (verb === 'kill') struck = this.#kill({ kind: 'kill', what: 'proxy-worker', application });
      else struck = this.#freeze({ kind: 'freeze', what: 'shim', application, forMs });
      // Looked at below, when the move is over.
      struck.catch(() => undefined);
    });
    const outcome = await ended.then(({ outcome }) => outcome, noEffect);
    const told = typeof outcome === 'string' ? outcome : outcome.detail;
    if (struck === undefined) return { acted: false, detail: `${told}, and it never came to ${phase}` };
    const { acted, detail } = await struck;
    const nodes = await this.#settled(name);
    return { acted: acted && nodes.length === 1, detail: `${detail}; ${told}; it runs at ${nodes.join(' and ')}` };
  }

  /** @returns the nodes that have it, once there is one and its shim is bound, or when that takes too long */
  async #settled(name: string): Promise<readonly string[]> {
    const { operator } = this.#ground;
    for (const deadlineMs = performance.now() + settleMsMax; ; await setTimeout(pollMs)) {
      const rows = (await operator.askAll('workloads', {})).flatMap(({ reply = [] }) => reply);
      const here = rows.filter((row) => row.name === name && row.state !== 'ended');
      const isOver =
        here.length === 1 && here.every(({ state, moving }) => state === 'running' && moving === undefined);
      const known = await operator.proxy.workloads().catch(() => []);
      const isBound = known.some((workload) => workload.name === name && workload.state === 'bound');
      if ((isOver && isBound) || performance.now() > deadlineMs) return isBound ? here.map(({ node }) => node) : [];
    }
  }

  /** One of them is made. The other is refused, or is told that the workload is elsewhere by now. */
  async #twoMoves(name: string): Promise<Effect> {
    const both = await Promise.allSettled([this.#move(name), this.#move(name)]);
    const made = both.filter((each) => each.status === 'fulfilled' && each.value.outcome === 'moved').length;
    const refused = both.flatMap((each) => (each.status === 'rejected' ? [errorCode(each.reason) ?? 'unknown'] : []));
    return { acted: made + refused.length === 2 && made > 0, detail: `${made} made, refused: ${refused.join(', ')}` };
  }

  async #detach(name: string, meanwhile: () => Promise<unknown>): Promise<Effect> {
    const { operator } = this.#ground;
    const { node } = await operator.find(name);
    await operator.ask(node, 'detach', { name });
    const beganMs = machineMs();
    try {
      await meanwhile();
    } finally {
      // A refusal is a verdict, and what the scenario may be about.
      await operator.ask(node, 'attach', { name }).catch((error: unknown) => error);
    }
    return { acted: true, detail: 'detached', blackoutMs: machineMs() - beganMs };
  }

  /** It has an effect when it is refused: bound, it would have taken the sessions away. */
  async #copy({ image: which, application, forMs }: Extract<Deed, { kind: 'copy' }>): Promise<Effect> {
    const ground = this.#ground;
    const name = this.#name(application);
    // Before it are those who have it in their command lines: its parents.
    const shim = this.#pids('shim', application).at(-1);
    if (shim === undefined) throw new Error(`${name} has no shim`);
    const image = await takeImage(ground.world, name, shim);
    if (which === 'late') await setTimeout(forMs);
    if (which === 'twin') await this.#detach(name, async () => undefined);
    const verdict = await ground.stranger.present(image);
    return { acted: verdict !== 'bound', detail: `the copy was told ${verdict}` };
  }

  #release(workload: string): Promise<unknown> {
    return this.#ground.operator.proxy.releaseHold({ workload, why: 'a scenario', by: whoAsks() });
  }

  async #stranger(name: string, wanted: StrangerVerdict): Promise<Effect> {
    const { operator, stranger } = this.#ground;
    const own = (await operator.proxy.workloads()).find((workload) => workload.name === name);
    if (own === undefined) throw new Error(`the proxy does not know ${name}`);
    const verdict = await stranger.ask(wanted, own);
    return { acted: verdict === wanted, detail: verdict };
  }

  async #upgrade(): Promise<Effect> {
    const { proxy } = this.#ground.world;
    const before = proxy.workerPid;
    await this.#ground.operator.proxy.upgrade();
    const worker = await this.#nextWorker(before);
    return { acted: worker !== before, detail: `worker ${before} has let go, ${worker} goes on` };
  }

  async #nextWorker(before: number): Promise<number> {
    const { proxy } = this.#ground.world;
    const deadlineMs = performance.now() + workerMsMax;
    for (;;) {
      const status = await this.#ground.operator.proxy.status().catch(() => undefined);
      if (status !== undefined && status.workerPid !== before) return status.workerPid;
      if (performance.now() > deadlineMs) throw new Error(`no other worker within ${workerMsMax} ms`);
      if (proxy.child.exitCode !== null) throw new Error('the proxy has ended');
      await setTimeout(pollMs);
    }
  }

  async #kill(deed: Extract<Deed, { kind: 'kill' }>): Promise<Effect> {
    const pids = this.#pids(deed.what, deed.application);
    signal(pids, 'SIGKILL');
    if (deed.what === 'proxy-worker') await this.#nextWorker(pids[0] ?? 0);
    return { acted: pids.length > 0, detail: `SIGKILL to ${pids.join(', ')}` };
  }

  async #killAgent(node: NodeName): Promise<Effect> {
    const agent: Program = this.#ground.world.agent(node);
    agent.child.kill('SIGKILL');
    await agent.ended;
    await this.#ground.world.restartAgent(node);
    return { acted: true, detail: `the agent of ${node} was killed, and started again` };
  }

  async #freezeAgent(node: NodeName, forMs: number): Promise<Effect> {
    const pid = this.#ground.world.agent(node).child.pid ?? 0;
    signal([pid], 'SIGSTOP');
    try {
      await setTimeout(forMs);
    } finally {
      signal([pid], 'SIGCONT');
    }
    return { acted: pid > 0, detail: `the agent of ${node} stood still for ${forMs} ms` };
  }

  async #freeze(deed: Extract<Deed, { kind: 'freeze' }>): Promise<Effect> {
    const { proxy } = this.#ground.world;
    const pids = this.#pids(deed.what, deed.application);
    if (deed.what === 'proxy') proxy.freeze();
    else signal(pids, 'SIGSTOP');
    try {
      await setTimeout(deed.forMs);
    } finally {
      if (deed.what === 'proxy') proxy.thaw();
      else signal(pids, 'SIGCONT');
    }
    return { acted: pids.length > 0, detail: `${deed.what} stood still for ${deed.forMs} ms` };
  }

  #pids(what: 'proxy' | 'proxy-worker' | 'shim' | 'application' | 'agent', application: number): readonly number[] {
    const { world } = this.#ground;
    if (what === 'proxy' || what === 'proxy-worker') return [world.proxy.workerPid];
    if (what === 'agent') return [world.agent('node-a').child.pid ?? 0];
    const directory = `${world.directory}/state/workloads/${this.#name(application)}`;
    const init = Number(readOrNothing(`${directory}/pid`));
    const isShim = (pid: number) => (readOrNothing(`/proc/${pid}/cmdline`) ?? '').includes('/shim/main.js');
    return descendants(init).filter((pid) => isShim(pid) === (what === 'shim'));
  }
}

interface Effect {
  readonly acted: boolean;
  readonly detail: string;
  readonly blackoutMs?: number;
}

/** Refused, or met by a fault on its way. */
function noEffect(error: unknown): Effect {
  return { acted: false, detail: `${errorCode(error) ?? 'failed'}: ${errorText(error)}` };
}

function nodeOf({ node }: { readonly node: string }): NodeName {
  return node === 'node-a' ? 'node-a' : 'node-b';
}

function otherThan(node: NodeName): NodeName {
  return node === 'node-a' ? 'node-b' : 'node-a';
}

function kindOf(deed: Deed): string {
  if ('hit' in deed) return `${deed.hit} in ${deed.phase}`;
  if ('what' in deed) return `${deed.kind} ${deed.what}`;
  if ('image' in deed) return `${deed.kind} ${deed.image}`;
  return 'verdict' in deed ? `${deed.kind} ${deed.verdict}` : deed.kind;
}

function effectOf({ outcome, blackoutMs, error }: MoveRecord): Effect {
  const why = error === undefined ? '' : `: ${errorText(error.message)}`;
  return { acted: outcome === 'moved', detail: `${outcome}${why}`, blackoutMs: blackoutMs.total };
}
