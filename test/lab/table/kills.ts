import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Program } from '../../../fixtures/lab/program.js';
import { type NodeName, node, type World } from '../../../fixtures/lab/world.js';
import type { Phase } from '../../../migrate/plan.js';
import { assertNever } from '../../../shim/program/errors.js';
import type { Witness } from '../../e2e/witness.js';
import type { Gate } from '../gate.js';
import { service } from './applications.js';
import { inWorld } from './installation.js';
import type { Say } from './moments.js';
import { Orders } from './orders.js';
import type { KillRow } from './row.js';

/** The moment when the journal of the move has said that a phase begins, or that it is over. */
type Boundary = `${'before' | 'after'} ${Phase}`;
export type Party = 'source agent' | 'target agent' | 'command' | 'shim' | 'link of the source' | 'link of the target';

const points: readonly (readonly [Party, readonly Boundary[]])[] = [
  ['source agent', ['before detach', 'before freeze', 'before restore', 'before bind', 'after bind', 'before retire']],
  ['target agent', ['before restore', 'before bind', 'after bind']],
  ['command', ['before detach', 'before restore', 'before bind', 'after bind']],
  ['link of the source', ['before detach', 'before restore', 'before bind', 'after bind']],
  ['link of the target', ['before detach', 'before restore', 'before bind', 'after bind']],
  ['shim', ['before detach', 'before freeze', 'before bind', 'after bind']],
];

const pollMs = 100;
/** How long a cable is out. */
const outageS = 2;

/** Kills each party at each boundary of a move by CRIU, and looks what runs when all is over. */
export async function killRows(waitMs: number, say: Say): Promise<readonly KillRow[]> {
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  const gate = join(directory, 'gate');
  process.env.HOLDFAST_LAB_GATE = gate;
  process.env.NODE_OPTIONS = `--import=${new URL('../gate.js', import.meta.url).href}`;
  try {
    return await inWorld('criu', (world, witness) => new Kills(world, witness, gate, waitMs, say).run());
  } finally {
    delete process.env.NODE_OPTIONS;
    rmSync(directory, { recursive: true });
  }
}

class Kills {
  readonly #world: World;
  readonly #witness: Witness;
  readonly #gate: string;
  readonly #waitMs: number;
  readonly #say: Say;
  #started = 0;
  #at: NodeName = 'node-a';

  constructor(world: World, witness: Witness, gate: string, waitMs: number, say: Say) {
    this.#world = world;
    this.#witness = witness;
    this.#gate = gate;
    this.#waitMs = waitMs;
    this.#say = say;
  }

  async run(): Promise<readonly KillRow[]> {
    const rows: KillRow[] = [];
    let orders = await this.#start();
    for (const [party, boundaries] of points) {
      for (const boundary of boundaries) {
        this.#say(`${party} is killed ${boundary}`);
        rows.push(await this.#row(orders, party, boundary));
        if (party !== 'shim') continue;
        // Its sessions are over.
        await this.#world.holdfast('stop', orders.name);
        orders = await this.#start();
      }
    }
    await this.#world.holdfast('stop', orders.name);
    return rows;
  }

  async #start(): Promise<Orders> {
    this.#started += 1;
    this.#at = 'node-a';
    const [world, witness, waitMs] = [this.#world, this.#witness, this.#waitMs];
    const orders = new Orders({ application: service, name: `kills-${this.#started}`, world, witness, waitMs });
    await orders.start();
    return orders;
  }

  async #row(orders: Orders, party: Party, boundary: Boundary): Promise<KillRow> {
    const to: NodeName = this.#at === 'node-a' ? 'node-b' : 'node-a';
    const { programs, files } = this.#world;
    const words = ['move', '--json', orders.name, '--to', to, ...files];
    const moving = this.#world.start('moving', 'center', node(programs.holdfast, ...words));
    writeFileSync(this.#gate, JSON.stringify(this.#blow(party, boundary, orders, moving, to)));
    await moving.ended;
    for (const [victim, name] of [
      ['source agent', this.#at],
      ['target agent', to],
    ] as const) {
      if (party !== victim) continue;
      await this.#world.agent(name).ended;
      await this.#world.restartAgent(name);
    }
    this.#at = (await this.#settled(orders)) ?? this.#at;
    const goesOn = await (party === 'shim' ? this.#tells(orders) : orders.comeIn()).then(
      () => true,
      () => false,
    );
    return { party, boundary, copiesRunning: orders.copies().length, at: this.#at, goesOn };
  }

  #blow(party: Party, boundary: Boundary, orders: Orders, moving: Program, to: NodeName): Gate {
    const [when, phase] = boundary.split(' ');
    const says = when === 'before' ? `"kind":"phase","phase":"${phase}"` : `"kind":"done","phase":"${phase}"`;
    const cut = (name: NodeName) => {
      const inside = `nsenter --net=/proc/${this.#world.agent(name).child.pid}/ns/net ip link set eth0`;
      return { says, run: `${inside} down; { sleep ${outageS}; ${inside} up; } >/dev/null 2>&1 &` };
    };
    switch (party) {
      case 'source agent':
        return { says, pid: 0 };
      case 'target agent':
        return { says, pid: Number(this.#world.agent(to).child.pid) };
      case 'command':
        return { says, pid: Number(moving.child.pid) };
      case 'link of the source':
        return cut(this.#at);
      case 'link of the target':
        return cut(to);
      case 'shim':
        return { says, matching: `/workloads/${orders.name}/shim.yaml` };
      default:
        return assertNever(party);
    }
  }

  /** Waits until the move is over, one way or the other. @returns where the application is then */
  async #settled(orders: Orders): Promise<NodeName | undefined> {
    const deadlineMs = performance.now() + this.#waitMs;
    while (performance.now() < deadlineMs) {
      const { code, stdout } = await this.#world.holdfast('ps', '--json');
      const rows: readonly { name: string; node: NodeName; moving?: string }[] = code === 0 ? JSON.parse(stdout) : [];
      const row = rows.find(({ name }) => name === orders.name);
      if (row !== undefined && row.moving === undefined) return row.node;
      await setTimeout(pollMs);
    }
    return undefined;
  }

  /** Waits until the application has told of an error that it had not told before. */
  #tells(orders: Orders): Promise<void> {
    const errors = () => orders.lines().filter(({ failed }) => failed !== undefined).length;
    const before = errors();
    return orders.until('error', () => errors() > before);
  }
}
