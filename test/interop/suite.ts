import type { World } from '../../fixtures/lab/world.js';
import { errorText } from '../../shim/program/errors.js';
import type { Witness } from '../e2e/witness.js';
import type { Command, Driver, ProgramName } from './drivers.js';
import { type Job, playCut, playMoved, playProxied, playStraight, type Seen } from './routes.js';
import type { Row } from './rows.js';
import type { Played } from './run.js';
import { differences } from './transcript.js';

/** An installation to play in, or why there is none. */
export type Hall =
  | { readonly kind: 'open'; readonly world: World; readonly witness: Witness }
  | { readonly kind: 'missing'; readonly needs: 'criu'; readonly reason: string };

export type Halls = Readonly<Record<World['mover'], Hall>>;

const routes: Partial<Record<ProgramName, (job: Job, seen: Seen) => Promise<Played>>> = {
  cut: playCut,
  move: playMoved,
  'hikari-move': playMoved,
  'ucp-move': playMoved,
  'move-criu': playMoved,
};

/** Plays the programs of a driver one after the other. */
export async function playDriver(
  driver: Driver,
  only: readonly string[] | undefined,
  halls: Halls,
  onRow: (row: Row) => void,
  say: (text: string) => void,
): Promise<readonly Row[]> {
  say(`${driver.name} ${driver.version}: making ready`);
  const command = await driver.prepare().catch((error: unknown) => errorText(error));
  const rows: Row[] = [];
  for (const program of driver.programs) {
    if (only !== undefined && !only.includes(program)) continue;
    const row = await playProgram(driver, program, command, halls);
    onRow(row);
    rows.push(row);
  }
  return rows;
}

async function playProgram(
  driver: Driver,
  program: ProgramName,
  command: Command | string,
  halls: Halls,
): Promise<Row> {
  const base = {
    driver: driver.name,
    version: driver.version,
    program,
    lines: 0,
    cuts: 0,
    moves: 0,
    blackoutMs: 0,
    ms: 0,
  };
  const skipped = { ...base, straight: 'skipped', proxied: 'skipped', equal: false, problems: [] } as const;
  if (typeof command === 'string') return { ...skipped, skipped: command, needs: 'driver' };
  const hall = program === 'move-criu' ? halls.criu : halls.relink;
  if (hall.kind === 'missing') return { ...skipped, skipped: hall.reason, needs: hall.needs };
  const { world, witness } = hall;
  const beganMs = performance.now();
  const seen: Seen = { cuts: 0, moves: 0, blackoutMs: 0 };
  const job: Job = {
    world,
    witness,
    name: `${driver.name}-${program}`,
    command: command(program),
    calledBy: driver.calledBy,
  };
  const straight = await tried(() => playStraight(job));
  const proxied = await tried(() => (routes[program] ?? playProxied)(job, seen));
  const differing = differences(straight.events, proxied.events);
  const { driver: seenAs, cuts, moves, blackoutMs } = seen;
  return {
    ...base,
    straight: straight.failures.length === 0 ? 'ok' : 'failed',
    proxied: proxied.failures.length === 0 ? 'ok' : 'failed',
    equal: differing.length === 0 && straight.events.length > 0,
    lines: straight.events.length,
    ...(seenAs === undefined ? {} : { seenAs }),
    cuts,
    moves,
    blackoutMs,
    ms: performance.now() - beganMs,
    problems: [
      ...straight.failures.map((each) => `straight: ${each}`),
      ...proxied.failures.map((each) => `proxied: ${each}`),
      ...differing,
    ],
  };
}

async function tried(play: () => Promise<Played>): Promise<Played> {
  try {
    return await play();
  } catch (error) {
    return { events: [], failures: [errorText(error)] };
  }
}
