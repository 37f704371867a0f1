import { ConfigError, option, optional } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { choice, count, flag, list, name } from '../../shim/program/values.js';
import { agentAddress } from '../cluster.js';
import { type EvacuationEvent, type EvacuationMove, type EvacuationRecord, leftBehind } from '../fleet/evacuation.js';
import { concurrencyMax } from '../limits.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { type Column, printJson, printTable, shownMs } from '../output.js';
import { wantedMovers } from '../record.js';
import { conditionOptions, conditionsOf } from './conditions.js';

export const evacuate = defineCommand({
  name: 'evacuate',
  summary: 'Moves all workloads of a node elsewhere, those with least at stake first; stops at the first loss.',
  positional: '<node>',
  options: {
    to: optional(list(name()), 'nodes that may take workloads; all others when left out'),
    spread: option(flag(), 'false', 'over all other nodes, which is also what happens without --to'),
    concurrency: option(count(1, concurrencyMax), '2', 'moves at the same time'),
    'dry-run': option(flag(), 'false', 'only print the plan: which workload where, in which order'),
    resume: option(flag(), 'false', 'go on with an evacuation that stopped or was cut off'),
    anew: option(flag(), 'false', 'make a new plan although the last evacuation was not finished'),
    'ignore-anti-affinity': option(flag(), 'false', 'also put workloads together that should be kept apart'),
    mover: option({ ...choice(...wantedMovers), placeholder: 'MOVER' }, 'own', 'as of holdfast move'),
    'allow-unknown': option(flag(), 'false', 'move also sessions that cannot be watched (encrypted, unknown driver)'),
    ...conditionOptions,
    json: option(flag(), 'false', 'print the record of the evacuation as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast evacuate node-a --dry-run', 'Look at the plan first'],
    ['holdfast evacuate node-a', 'Over all other nodes'],
    ['holdfast evacuate node-a --to node-b,node-c --concurrency 4', 'To these, four at a time'],
    [
      'holdfast evacuate node-a --when transaction-end --deadline 1m --then move',
      'Each at a quiet moment, if it comes',
    ],
    ['holdfast evacuate node-a --resume', 'Go on after it stopped'],
  ],
  async main({ settings, args }) {
    const operator = new Operator(settings);
    const [node = ''] = args;
    agentAddress(operator.cluster, node);
    const { spread, to, dryRun, resume, anew, ignoreAntiAffinity, concurrency, mover, allowUnknown } = settings;
    if (spread && to !== undefined) throw new ConfigError('bad-option', '--to and --spread exclude each other');
    if (resume && anew) throw new ConfigError('bad-option', '--resume and --anew exclude each other');
    const wanted = to === undefined ? {} : { to: [...to] };
    const how = { ...wanted, dryRun, resume, anew, ignoreAntiAffinity, concurrency, mover, allowUnknown };
    const conditions = conditionsOf(settings);
    const progress = new EvacuationProgress(process.stderr);
    const request = { ...how, conditions, by: whoAsks() };
    const record = await operator.ask(node, 'evacuate', request, { timeoutMs: 0, onEvent: progress.show });
    if (settings.json) printJson(record);
    else printRecord(record);
    return report(record);
  },
});

const columns: readonly Column<EvacuationMove>[] = [
  { head: 'workload', cell: ({ workload }) => workload },
  { head: 'to', cell: ({ to }) => to },
  { head: 'memory', cell: ({ memoryBytes }) => `${Math.ceil(memoryBytes / 1_048_576)} MiB`, align: 'right', spare: 1 },
  { head: 'sessions', cell: ({ sessions }) => sessions, align: 'right', spare: 2 },
  { head: 'transactions', cell: ({ transactions }) => transactions, align: 'right', spare: 3 },
  { head: 'waiters', cell: ({ waiters }) => waiters, align: 'right', spare: 4 },
  { head: 'state', cell: ({ state }) => state },
  { head: 'blackout', cell: ({ blackoutMs }) => blackoutMs && shownMs(blackoutMs), align: 'right' },
  { head: 'took', cell: ({ ms }) => ms && shownMs(ms), align: 'right' },
  { head: 'reason', cell: ({ error }) => error?.code },
];

function printRecord(record: EvacuationRecord): void {
  const { node, state, moves, unplaced, targets, ms } = record;
  const shown =
    state === 'planned' ? columns.filter(({ head }) => !/^(blackout|took|reason|state)$/.test(head)) : columns;
  printTable(shown, moves, `there is nothing to move at ${node}`);
  for (const { node: target, out } of targets) {
    if (out !== undefined) process.stdout.write(`${target} takes none: ${out.message}\n`);
  }
  for (const { message } of unplaced) process.stdout.write(`stays: ${message}\n`);
  const moved = moves.filter((move) => move.state === 'moved').length;
  if (state !== 'planned') process.stdout.write(`${moved} of ${moves.length} moved in ${shownMs(ms)}\n`);
}

/** @returns the exit code: 0 when the node is empty, or would be */
function report(record: EvacuationRecord): number {
  const { node, state, stopped, unplaced } = record;
  const left = state === 'planned' ? unplaced.map(({ workload }) => workload) : leftBehind(record);
  const code = stopped?.code ?? (left.length === 0 ? undefined : 'not-empty');
  if (code === undefined) return 0;
  const why = stopped === undefined ? '' : `${stopped.message}; `;
  process.stderr.write(`holdfast evacuate: ${code}: ${why}still at ${node}: ${left.join(', ') || 'nothing'}\n`);
  return 1;
}

/** A line on stderr for each move that has ended, with how far it is; on a terminal also what is under way. */
class EvacuationProgress {
  readonly #out: NodeJS.WriteStream;
  readonly #moving = new Set<string>();
  #total = 0;
  #ended = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  readonly show = (event: EvacuationEvent): void => {
    if (event.kind === 'plan') {
      this.#total = event.evacuation.moves.filter(({ state }) => state === 'waiting').length;
      return;
    }
    const { workload, to, state, blackoutMs, error } = event.move;
    if (state === 'moving') this.#moving.add(workload);
    else {
      this.#moving.delete(workload);
      this.#ended += 1;
      const mark = state === 'moved' ? '✓' : '✗';
      const what = error === undefined ? '' : `  ${error.code}`;
      const waited = blackoutMs === undefined ? '' : `  waited ${shownMs(blackoutMs)}`;
      this.#line(`  ${mark} ${this.#ended}/${this.#total}  ${workload} → ${to}  ${state}${waited}${what}`);
    }
    if (this.#out.isTTY) this.#out.write(`\r\x1b[K  … ${[...this.#moving].join(', ')}`);
  };

  #line(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
  }
}
