import { callControl } from '../../shim/control/rpc-client.js';
import { errorCode, errorText } from '../../shim/program/errors.js';
import { agentAddress } from '../cluster.js';
import { agentContract } from '../contract.js';
import { MoveError } from '../errors.js';
import { type Node, proxyOf } from '../node.js';
import { moveWorkload } from '../source.js';
import {
  type EvacuationEvent,
  type EvacuationMove,
  type EvacuationRecord,
  type EvacuationStep,
  evacuationRecord,
  type MoveEnd,
  stepEvacuation,
  toBegin,
  waitingMoves,
} from './evacuation.js';
import { hostOf, loadOf } from './load.js';
import type { EvacuateRequest, NodeLoad } from './messages.js';
import { type Guest, placeGuests } from './placement.js';
import { stakesOf } from './stakes.js';

type Emit = (event: EvacuationEvent) => void;

/**
 * Empties this node. It is this agent's: it goes on when the caller has gone, and what it has done is in the state directory.
 * @throws {MoveError} evacuation-in-progress, evacuation-unfinished, nothing-to-resume, no-target, proxy-unreachable
 */
export async function evacuateNode(node: Node, request: EvacuateRequest, emit: Emit): Promise<EvacuationRecord> {
  if (request.dryRun) return plan(node, request);
  if (node.evacuation !== undefined) {
    throw new MoveError('evacuation-in-progress', `${node.name} is being emptied already`);
  }
  const control = { interrupt: (_why: string) => {} };
  node.evacuation = control;
  try {
    const begun = await beginning(node, request);
    return await new Evacuation(node, begun, emit, control).run();
  } finally {
    delete node.evacuation;
  }
}

/** The last evacuation of a node, if there was one. */
export function lastEvacuation(node: Node): EvacuationRecord | undefined {
  return node.store.readNote(noteName(node), evacuationRecord);
}

function noteName({ name }: Node): string {
  return `evacuation-${name}`;
}

async function beginning(node: Node, request: EvacuateRequest): Promise<EvacuationRecord> {
  const last = lastEvacuation(node);
  // `running` in the file, and not here: the agent was ended in the midst of it.
  const isOpen = last !== undefined && (last.state === 'running' || last.state === 'stopped');
  if (request.resume) {
    if (!isOpen) throw new MoveError('nothing-to-resume', `no evacuation of ${node.name} was stopped or cut off`);
    const { concurrency, mover, conditions, by } = request;
    const stays = (workload: string) => node.store.read(workload)?.node === node.name;
    return stepEvacuation({ ...last, concurrency, mover, conditions, by }, { kind: 'resumed', stays });
  }
  if (isOpen && !request.anew) {
    const why = last.stopped === undefined ? 'the agent ended in the midst of it' : last.stopped.message;
    const advice = '--resume goes on with it, --anew makes a new plan';
    throw new MoveError(
      'evacuation-unfinished',
      `the last evacuation of ${node.name} was not finished (${why}): ${advice}`,
    );
  }
  return stepEvacuation(await plan(node, request), { kind: 'started' });
}

async function plan(node: Node, request: EvacuateRequest): Promise<EvacuationRecord> {
  const names = request.to ?? Object.keys(node.cluster.nodes).filter((name) => name !== node.name);
  if (names.includes(node.name)) throw new MoveError('same-node', `${node.name} is the node that is emptied`);
  for (const name of names) agentAddress(node.cluster, name);
  const [own, rows, ...others] = await Promise.all([
    loadOf(node),
    proxyOf(node).sessions(),
    ...names.map((name) => askLoad(node, name)),
  ]);
  const sessions = (workload: string) => rows.filter((row) => row.workload === workload).length;
  const guests: Guest[] = own.workloads.map((workload) => ({ ...workload, ...stakesOf(workload.name, rows) }));
  const hosts = others.flatMap((answer) => (answer.out === undefined ? [hostOf(answer.load, sessions)] : []));
  if (hosts.length === 0 && guests.length > 0) {
    const reasons = others.flatMap(({ out }) => out?.message ?? []).join('; ') || 'the cluster file names no other';
    throw new MoveError('no-target', `no node can take the workloads of ${node.name}: ${reasons}`);
  }
  const placements = placeGuests(guests, hosts, { ignoreAntiAffinity: request.ignoreAntiAffinity ?? false });
  const { concurrency, mover, conditions, by, allowUnknown = false } = request;
  return {
    ...{ node: node.name, state: 'planned', startedAt: new Date().toISOString(), ms: 0 },
    ...{ by, mover, allowUnknown, conditions, concurrency },
    targets: others.map(({ name, load, out }) => ({
      node: name,
      memoryAvailableBytes: load?.memory.availableBytes ?? 0,
      workloads: load?.workloads.length ?? 0,
      ...(out === undefined ? {} : { out }),
    })),
    moves: waitingMoves(placements, new Map(guests.map((guest) => [guest.name, guest]))),
    unplaced: [...placements.unplaced],
  };
}

/** Warnings of a move that ended one way or the other, and yet lost sessions. */
const lossCodes = new Set(['sessions-differ', 'bytes-differ', 'sessions-lost']);

type LoadAnswer =
  | { readonly name: string; readonly load: NodeLoad; readonly out?: undefined }
  | { readonly name: string; readonly load?: NodeLoad; readonly out: { code: string; message: string } };

/** A node that does not answer, or is being emptied itself, takes nothing; the others may. */
async function askLoad(node: Node, name: string): Promise<LoadAnswer> {
  const expect = { role: 'agent', name } as const;
  const target = { address: agentAddress(node.cluster, name), security: node.security, expect };
  try {
    const load = await callControl(agentContract, target, 'load', {});
    if (!load.evacuating) return { name, load };
    return { name, load, out: { code: 'evacuation-in-progress', message: `${name} is being emptied itself` } };
  } catch (cause) {
    const { code, message } = MoveError.noAnswer('agent-unreachable', `agent of ${name}`, cause);
    return { name, out: { code, message } };
  }
}

/** Carries a plan out: performs what the machine says and writes down every change before the next move begins. */
class Evacuation {
  readonly #node: Node;
  readonly #emit: Emit;
  readonly #beganMs = performance.now();
  readonly #msBefore: number;
  readonly #ended: Promise<EvacuationRecord>;
  #end: (record: EvacuationRecord) => void = () => {};
  #now: EvacuationRecord;

  constructor(node: Node, begun: EvacuationRecord, emit: Emit, control: { interrupt: (why: string) => void }) {
    this.#node = node;
    this.#now = begun;
    this.#msBefore = begun.ms;
    this.#emit = emit;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    control.interrupt = (why) => this.#step({ kind: 'interrupted', why });
  }

  run(): Promise<EvacuationRecord> {
    this.#emit({ kind: 'plan', evacuation: this.#now });
    this.#advance();
    return this.#ended;
  }

  #step(step: EvacuationStep): void {
    if (this.#now.state !== 'running') return;
    this.#take(step);
    this.#advance();
  }

  #take(step: EvacuationStep): void {
    this.#now = {
      ...stepEvacuation(this.#now, step),
      ms: this.#msBefore + Math.round(performance.now() - this.#beganMs),
    };
    const move = 'workload' in step && this.#now.moves.find(({ workload }) => workload === step.workload);
    if (move) this.#emit({ kind: 'move', move });
  }

  #advance(): void {
    const next = toBegin(this.#now);
    for (const { workload } of next) this.#take({ kind: 'begun', workload });
    this.#node.store.writeNote(noteName(this.#node), this.#now);
    for (const move of next) void this.#move(move);
    if (this.#now.state === 'running') return;
    const { state, stopped, ms, moves } = this.#now;
    this.#node.log.info({ state, stopped, ms, moves: moves.length }, 'evacuation ended');
    this.#end(this.#now);
  }

  async #move({ workload, to }: EvacuationMove): Promise<void> {
    const { mover, allowUnknown, conditions, by } = this.#now;
    const beganMs = performance.now();
    const ms = () => Math.round(performance.now() - beganMs);
    let end: MoveEnd;
    try {
      const request = { ...conditions, name: workload, to, mover, allowUnknown, by };
      const record = await moveWorkload(this.#node, request, () => {});
      const { move, blackoutMs, outcome, error, warnings } = record;
      const lost = warnings.find(({ code }) => lossCodes.has(code));
      const why = lost ?? (error && { code: error.code, message: error.message });
      const state = lost !== undefined || outcome === 'stranded' ? 'lost' : outcome;
      end = { state, move, ms: ms(), blackoutMs: blackoutMs.total, ...(why === undefined ? {} : { error: why }) };
    } catch (thrown) {
      const error = { code: errorCode(thrown) ?? 'internal', message: errorText(thrown) };
      end = { state: 'left', ms: ms(), error };
    }
    this.#step({ kind: 'ended', workload, end });
  }
}
