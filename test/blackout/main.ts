#!/usr/bin/env node
import { printTable } from '../../migrate/output.js';
import { option } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, duration, flag, list } from '../../shim/program/values.js';
import { columns, isFast, measure, type Row } from './measure.js';

await runProgram({
  name: 'holdfast-blackout',
  summary:
    'Moves an application back and forth by relink, and tells what of the blackout is our own: detach and bind. Exits 1 when the median is above what is promised.',
  options: {
    sessions: option(list(count(1, 10_000)), '1,1000', 'sessions of the application, one row each'),
    moves: option(count(2, 1_000), '20', 'moves of each'),
    wait: option(duration(), '2m', 'longest wait for any one thing'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run blackout', 'One session, and a thousand'],
    ['npm run --silent blackout -- --json --moves 50', 'For programs'],
  ],
  async main({ settings }) {
    const rows: Row[] = [];
    for (const sessions of settings.sessions) {
      const say = (text: string) => process.stderr.write(`${text}\n`);
      rows.push(await measure({ sessions, moves: settings.moves, waitMs: settings.wait, say }));
    }
    const ok = rows.every(isFast);
    if (settings.json) process.stdout.write(`${JSON.stringify({ ok, rows }, undefined, 2)}\n`);
    else printTable(columns, rows, 'nothing was measured');
    return ok ? 0 : 1;
  },
});
