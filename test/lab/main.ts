#!/usr/bin/env node
import { cpus, loadavg } from 'node:os';
import { printTable } from '../../migrate/output.js';
import { option } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { choice, duration, flag, list } from '../../shim/program/values.js';
import { applications } from './table/applications.js';
import { inWorld } from './table/installation.js';
import { killRows } from './table/kills.js';
import { momentRows, type Say } from './table/moments.js';
import { isClean, isOneCopy, killColumns, type MoveRow, moveColumns } from './table/row.js';
import { moveUnderLoad } from './table/trial.js';

const parts = ['moments', 'applications', 'kills'] as const;

await runProgram({
  name: 'holdfast-lab',
  summary:
    'Moves real applications between hosts at every moment, counts their rows, and kills every party of a move at its boundaries. Exits 1 when a row is lost or there is not one copy.',
  options: {
    only: option(
      list(choice(...parts)),
      parts.join(),
      'parts of it: moments of one application, applications under load, kills',
    ),
    wait: option(duration(), '1m', 'longest wait for any one thing'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run test:lab', 'All of it, as root'],
    ['npm run --silent test:lab -- --json', 'For programs'],
    ['npm run test:lab -- --only kills', 'Only who is killed when, and what runs then'],
  ],
  async main({ settings }) {
    const { only, wait, json } = settings;
    const say: Say = (text) => process.stderr.write(`${text}\n`);
    const beganMs = performance.now();
    const rows: MoveRow[] = [];
    if (only.includes('moments')) {
      for (const mover of ['criu', 'relink'] as const) rows.push(...(await momentRows(mover, wait, say)));
    }
    if (only.includes('applications')) rows.push(...(await applicationRows(wait, say)));
    const kills = only.includes('kills') ? await killRows(wait, say) : [];
    const ok = rows.every(isClean) && kills.every(isOneCopy);
    const machine = { processors: cpus().length, load: loadavg()[0] };
    const seconds = Math.round((performance.now() - beganMs) / 1_000);
    if (json) process.stdout.write(`${JSON.stringify({ ok, seconds, machine, rows, kills }, undefined, 2)}\n`);
    else {
      printTable(moveColumns, rows, 'no moves');
      process.stdout.write('\n');
      printTable(killColumns, kills, 'no kills');
    }
    for (const { application, mover, moment, violations } of rows) {
      for (const violation of violations) say(`VIOLATION: ${application}, ${mover}, ${moment}: ${violation}`);
    }
    say(ok ? 'nothing lost, and one copy each time' : 'FAILED');
    return ok ? 0 : 1;
  },
});

function applicationRows(waitMs: number, say: Say): Promise<readonly MoveRow[]> {
  return inWorld('criu', async (world, witness) => {
    const rows: MoveRow[] = [];
    for (const application of applications) {
      say(`${application.name}, ${application.mover}, with load`);
      rows.push(await moveUnderLoad(application, world, witness, waitMs));
    }
    return rows;
  });
}
