import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../fixtures/lab/ports.js';
import type { CommandLine } from '../../fixtures/lab/program.js';
import type { World } from '../../fixtures/lab/world.js';
import type { MoveRecord } from '../../migrate/record.js';
import type { SessionRow } from '../../proxy/control/contract.js';
import { Relay } from '../e2e/relay.js';
import { startShim } from '../e2e/shim.js';
import type { Witness } from '../e2e/witness.js';
import { listenIn } from '../fixtures/captures/tap.js';
import { playDamaged } from '../proxy/damage.js';
import { commandAt, follow, type Played, type Running, runningProgram } from './run.js';
import type { Event } from './transcript.js';

const seed = Number(process.env.HOLDFAST_SEED ?? Date.now() % 2 ** 31);

/** One program of one driver, and the installation that it runs in. */
export interface Job {
  readonly world: World;
  readonly witness: Witness;
  /** Unlike that of every other job. */
  readonly name: string;
  readonly command: CommandLine;
  /** What the proxy should call the driver. */
  readonly calledBy: RegExp;
}

/** What a proxied run has seen beside its transcript. */
export interface Seen {
  driver?: string;
  cuts: number;
  moves: number;
  /** The longest time in which the application got no answer because it was moved. */
  blackoutMs: number;
}

const stageOf = (job: Job, route: string, address: string) => ({
  address,
  table: `t_${job.name.replaceAll('-', '_')}`,
  gates: join(job.world.directory, 'gates', `${job.name}-${route}`),
});

/** Damaged copies of a program's conversations, so many of all together. */
const damagedRuns = 150;

/**
 * Straight to the database. What driver and database say to each other is recorded on the way, and the proxy's decoders are
 * given damaged copies of it.
 */
export async function playStraight(job: Job): Promise<Played> {
  // The hosts of the other mover have networks of their own, and their programs are among these too.
  if (job.world.mover !== 'relink') return playAt(job, job.world.databaseAddress);
  const [host = '', port] = job.world.databaseAddress.split(':');
  const closing: (() => void)[] = [];
  const tap = await listenIn({ teardown: (done) => closing.push(done) }, { host, port: Number(port) });
  try {
    const played = await playAt(job, `127.0.0.1:${tap.port}`);
    const recorded = tap.conversations.map((segments) => ({ name: job.name, segments }));
    const { failures } = playDamaged(recorded, seed, damagedRuns);
    return { ...played, failures: [...played.failures, ...failures] };
  } finally {
    for (const close of closing) close();
  }
}

async function playAt(job: Job, address: string): Promise<Played> {
  const stage = stageOf(job, 'straight', address);
  const program = job.world.start(`${job.name}-straight`, 'center', commandAt(job.command, stage));
  const played = await follow(runningProgram(program), stage.gates, async () => []);
  await program.stop();
  return played;
}

/** Through shim and proxy; nothing happens on the way. */
export async function playProxied(job: Job, seen: Seen): Promise<Played> {
  const stage = stageOf(job, 'proxied', await startShim(job.world, job.name, job.world.proxyAddress));
  return playBehindShim(job, stage, seen, async () => []);
}

/** Inserts are cut in their midst; the answer with all rows, which is longer, gets its chance with the last. */
const bytesBetweenCuts = [900, 2_300, 1_700, 5_100, 3_700, 60_000];
const cutsMin = 5;

/** The link is cut in the transaction, in the call, and after every few thousand bytes from the first cut on. */
export async function playCut(job: Job, seen: Seen): Promise<Played> {
  let next = 0;
  const relay = await Relay.open(job.world.proxyAddress, () => bytesBetweenCuts[next++ % bytesBetweenCuts.length] ?? 1);
  try {
    const stage = stageOf(job, 'proxied', await startShim(job.world, job.name, relay.address));
    const played = await playBehindShim(job, stage, seen, async (event) => {
      if (event.gate === 'in-transaction' || event.step === 'in-call') relay.cut();
      return [];
    });
    seen.cuts = relay.cuts;
    const failures = relay.cuts < cutsMin ? [`only ${relay.cuts} cuts`] : [];
    return { ...played, failures: [...played.failures, ...failures] };
  } finally {
    await relay.close();
  }
}

async function playBehindShim(
  job: Job,
  stage: ReturnType<typeof stageOf>,
  seen: Seen,
  around: (event: Event) => Promise<readonly string[]>,
): Promise<Played> {
  const program = job.world.start(`${job.name}-proxied`, 'center', commandAt(job.command, stage));
  const played = await follow(runningProgram(program), stage.gates, async (event) => [
    ...(await trackerFaults(job, event, seen)),
    ...(await around(event)),
  ]);
  await program.stop();
  return played;
}

/** Runs as a workload and is moved to the other node in its transaction, and back in a call. */
export async function playMoved(job: Job, seen: Seen): Promise<Played> {
  const { world, name } = job;
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const stage = stageOf(job, 'proxied', listen);
  const { file, args } = commandAt(job.command, stage);
  const started = await world.holdfast('run', '--name', name, '--listen', listen, '--', file, ...args);
  if (started.code !== 0) return { events: [], failures: [started.stderr.trim()] };
  const exitFile = join(world.directory, 'state/workloads', name, 'exit');
  const running: Running = {
    output: () => world.output(name),
    exitCode: () => (existsSync(exitFile) ? Number(readFileSync(exitFile, 'utf8')) : undefined),
  };
  const played = await follow(running, stage.gates, async (event) => {
    const faults = await trackerFaults(job, event, seen);
    if (event.gate === 'in-transaction') return [...faults, ...(await move(job, 'node-b', seen))];
    if (event.step === 'in-call') return [...faults, ...(await move(job, 'node-a', seen))];
    return faults;
  });
  if (running.exitCode() === undefined) await world.holdfast('stop', name);
  return played;
}

async function move({ world, name }: Job, to: string, seen: Seen): Promise<readonly string[]> {
  const { code, stdout, stderr } = await world.holdfast('move', name, '--to', to, '--mover', world.mover, '--json');
  if (code !== 0) return [`move to ${to}: ${stderr.trim()}`];
  const record: MoveRecord = JSON.parse(stdout);
  seen.moves += 1;
  seen.blackoutMs = Math.max(seen.blackoutMs, record.blackoutMs.total);
  const failures = [];
  if (record.outcome !== 'moved') failures.push(`move to ${to}: ${record.outcome}`);
  if (!record.sessions.every(({ same }) => same)) failures.push(`move to ${to}: a session is another one than before`);
  // A pool has idle connections beside the one at work.
  const open = record.sessions.map(({ transaction }) => transaction).filter(({ before }) => before === 'open');
  if (open.length !== 1) failures.push(`move to ${to}: ${open.length} transactions open before`);
  if (!open.every(({ after }) => after === 'open'))
    failures.push(`move to ${to}: the transaction is not open after it`);
  return failures;
}

/**
 * At a gate the program waits, and what the proxy says of its session can be compared with what PostgreSQL, which does the
 * work behind the database, says of it.
 */
async function trackerFaults(job: Job, event: Event, seen: Seen): Promise<readonly string[]> {
  const { gate, sid, serial } = event;
  if (typeof gate !== 'string' || typeof sid !== 'number' || typeof serial !== 'number') return [];
  const { stdout } = await job.world.holdfast('sessions', '--json');
  const rows: SessionRow[] = JSON.parse(stdout);
  const row = rows.find((each) => each.workload === job.name && each.sid === sid && each.serial === serial);
  if (row === undefined) return [`gate ${gate}: the proxy shows no session ${sid}, ${serial}`];
  if (row.driver !== undefined) seen.driver = row.driver;
  const backend = await job.witness.backend(sid, serial);
  const wanted = backend?.databaseXid === null ? 'none' : 'open';
  const faults = [];
  if (row.transaction !== wanted) faults.push(`gate ${gate}: transaction ${row.transaction}, in PostgreSQL ${wanted}`);
  if (row.callsInFlight !== 0) faults.push(`gate ${gate}: ${row.callsInFlight} calls in flight`);
  if (row.movable !== true) faults.push(`gate ${gate}: movable ${row.movable}, ${row.reason} ${row.detail}`);
  if (!job.calledBy.test(row.driver ?? '')) faults.push(`gate ${gate}: the proxy calls the driver ${row.driver}`);
  return faults;
}
