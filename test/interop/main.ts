#!/usr/bin/env node
import { findCriu } from '../../fixtures/lab/criu.js';
import { openWorld, type WorldOptions } from '../../fixtures/lab/world.js';
import { personalityNames } from '../../fixtures/oracle/wire/personality.js';
import { printJson, printTable } from '../../migrate/output.js';
import { ConfigError, option, optional } from '../../shim/program/config.js';
import { errorText } from '../../shim/program/errors.js';
import { runProgram } from '../../shim/program/run.js';
import { choice, flag, list, name } from '../../shim/program/values.js';
import { Witness } from '../e2e/witness.js';
import { type Driver, drivers } from './drivers.js';
import { columns, isFailed, type Row, shownRow } from './rows.js';
import { type Hall, playDriver } from './suite.js';

/** Two at a time: one program waits for its database most of the time. */
const lanes = 2;

await runProgram({
  name: 'test:interop',
  summary:
    'Runs the same programs with every driver, straight to the database and through shim and proxy, and compares.',
  options: {
    driver: optional(list(name()), `only these: ${drivers.map((driver) => driver.name).join(', ')}`),
    program: optional(list(name()), 'only these programs'),
    personality: option(choice(...personalityNames), '23ai', 'the release that the database is'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run test:interop', 'All drivers; what is not installed is downloaded into a cache directory of the user'],
    ['npm run test:interop -- --personality 12.2', 'With a database of another release'],
    ['npm run --silent test:interop -- --json', 'For programs'],
    ['npm run --silent test:interop -- --driver ojdbc11 --program move', 'One program of one driver'],
  ],
  async main({ settings, onStop }) {
    const wanted = chosen(settings.driver);
    const say = (text: string) => process.stderr.write(`${text}\n`);
    const onRow = (row: Row) => say(shownRow(row));
    const closings: (() => Promise<void>)[] = [];
    const open = async (options: WorldOptions): Promise<Hall> => {
      const world = await openWorld({ ...options, personality: settings.personality });
      const closeWorld = once(() => world.close());
      onStop('world', closeWorld);
      const witness = await Witness.open(world.postgresUrl);
      const closeWitness = once(() => witness.close());
      onStop('witness', closeWitness);
      closings.unshift(closeWitness, closeWorld);
      return { kind: 'open', world, witness };
    };
    const halls = { relink: await open({ mover: 'relink' }), criu: await criuHall(open) };
    const played = new Map<Driver, readonly Row[]>();
    const waiting = [...wanted];
    const lane = async (): Promise<void> => {
      for (let driver = waiting.shift(); driver !== undefined; driver = waiting.shift())
        played.set(driver, await playDriver(driver, settings.program, halls, onRow, say));
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    const rows = wanted.flatMap((driver) => played.get(driver) ?? []);
    const failed = rows.filter((row) => isFailed(row, process.env));
    if (settings.json)
      printJson({ verdict: failed.length === 0 ? 'ok' : 'failed', personality: settings.personality, rows });
    else printTable(columns, rows, 'no program was run');
    // Two installations on a busy machine can take longer than what a program has for its end.
    for (const close of closings) await close();
    return failed.length === 0 && rows.length > 0 ? 0 : 1;
  },
});

function chosen(names: readonly string[] | undefined): readonly Driver[] {
  const unknown = names?.find((each) => drivers.every((driver) => driver.name !== each));
  if (unknown !== undefined) throw new ConfigError('bad-option', `--driver: there is no ${unknown}`);
  return drivers.filter((driver) => names?.includes(driver.name) ?? true);
}

/** Hosts of their own for moves with CRIU, where the machine has what they need. */
async function criuHall(open: (options: WorldOptions) => Promise<Hall>): Promise<Hall> {
  const criu = await findCriu();
  if (criu.kind === 'missing') return { kind: 'missing', needs: 'criu', reason: criu.reason };
  try {
    return await open({ mover: 'criu', criu: { 'node-a': criu.path, 'node-b': criu.path } });
  } catch (error) {
    return { kind: 'missing', needs: 'criu', reason: errorText(error) };
  }
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closed: Promise<void> | undefined;
  return () => {
    closed ??= close();
    return closed;
  };
}
