import { randomUUID } from 'node:crypto';
import type { HoldRow } from '../../proxy/control/contract.js';
import { ConfigError, option, optional } from '../../shim/program/config.js';
import { assertNever } from '../../shim/program/errors.js';
import { defineCommand } from '../../shim/program/run.js';
import { duration, flag, text } from '../../shim/program/values.js';
import { park } from '../movers/external.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { type Column, printJson, printTable, reportMissing, shownBytes, shownMs } from '../output.js';
import type { ProxyView, Wanted } from '../proxy.js';

const columns: readonly Column<HoldRow>[] = [
  { head: 'workload', cell: ({ workload }) => workload },
  { head: 'state', cell: ({ state }) => state },
  { head: 'left', cell: left, align: 'right' },
  { head: 'doing', cell: ({ doing }) => doing },
  { head: 'sessions', cell: ({ sessions }) => sessions, align: 'right' },
  { head: 'at end', cell: ({ atEnd }) => atEnd },
  { head: 'held', cell: ({ heldMs }) => shownMs(heldMs), align: 'right', spare: 1 },
  { head: 'until', cell: ({ until }) => until?.slice(0, 19).replace('T', ' '), spare: 5 },
  { head: 'kept', cell: ({ storedBytes }) => shownBytes(storedBytes), align: 'right', spare: 2 },
  { head: 'rule', cell: ({ rule }) => rule, spare: 3 },
  { head: 'owner', cell: ({ owner }) => owner ?? '-' },
  { head: 'instance', cell: ({ instance }) => instance, spare: 6 },
  { head: 'why', cell: ({ why }) => why, spare: 4 },
];

function left({ state, leftMs }: HoldRow): string {
  if (state === 'pinned' || leftMs === undefined) return 'no end';
  return state === 'overdue' ? `-${shownMs(-leftMs)}` : shownMs(Math.max(0, leftMs));
}

export const holds = defineCommand({
  name: 'holds',
  summary: 'Lists the sessions that are kept while their application is away, and for how long.',
  options: {
    json: option(flag(), 'false', 'print everything that is known, as JSON'),
    ...operatorOptions,
  },
  examples: [['holdfast holds', 'A table, whatever ends first on top']],
  async main({ settings }) {
    const { holds: found, audit, missing } = await new Operator(settings).proxy.holds();
    const rows = [...found];
    rows.sort((one, other) => (one.leftMs ?? Number.POSITIVE_INFINITY) - (other.leftMs ?? Number.POSITIVE_INFINITY));
    if (settings.json) printJson(rows);
    else printTable(columns, rows, 'nothing is held: all applications are there');
    if (audit?.isFailing) {
      const state = `${audit.waitingBytes} bytes wait, ${audit.lostLines} lines are lost`;
      process.stderr.write(`holdfast holds: audit-failed: ${audit.path} cannot be written: ${state}\n`);
    }
    return reportMissing('holds', missing);
  },
});

const verbs = ['extend', 'release', 'pin', 'unpin'] as const;
type Verb = (typeof verbs)[number];

export const hold = defineCommand({
  name: 'hold',
  summary: 'Parks a workload that somebody else moves; or extends, releases (ends), pins or unpins a hold.',
  positional: '<verb-or-workload> [workload]',
  options: {
    by: optional(duration(), 'extend: by how much'),
    reason: option(text(), 'none given', 'release: why, for the audit log'),
    instance: optional(text('ID'), 'only this life of the shim, where holdfast holds shows several of one name'),
    json: option(flag(), 'false', 'print what was done as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast hold orders', 'Park it: close its link, pin its sessions, print a ticket for holdfast await'],
    ['holdfast hold extend orders --by 30m', 'Keep the sessions of "orders" for half an hour longer'],
    ['holdfast hold release orders --reason "blocks the month-end run"', 'End them now: the database rolls back'],
    ['holdfast hold pin orders', 'Keep them until holdfast hold unpin orders'],
  ],
  async main({ settings, args }) {
    const [word = '', workload] = args;
    const verb = verbs.find((each) => each === word);
    if (workload === undefined) {
      if (verb !== undefined) throw new ConfigError('bad-option', `${verb} which workload?`);
      return parkIt(new Operator(settings), word, settings);
    }
    if (verb === undefined) {
      throw new ConfigError('bad-option', `"${word}" is not allowed, expected one of ${verbs.join(', ')}`);
    }
    const { instance } = settings;
    const wanted = { workload, ...(instance === undefined ? {} : { instance }), by: whoAsks() };
    const done = await decide(new Operator(settings).proxy, verb, wanted, settings);
    if (settings.json) printJson(done);
    else process.stdout.write(`${workload}: ${sentence(verb, done)}\n`);
    return 0;
  },
});

async function parkIt(
  operator: Operator,
  name: string,
  { instance, json }: { readonly instance: string | undefined; readonly json: boolean },
): Promise<number> {
  const ticket = await park(operator, name, instance, whoAsks());
  if (json) printJson(ticket);
  else {
    const { node, sessions, epoch } = ticket;
    const link =
      node === undefined ? 'no agent has it: its link stays until it breaks' : `its link is closed at ${node}`;
    process.stdout.write(`${name} is parked with ${sessions} sessions, which have no end until it is back; ${link}\n`);
    process.stdout.write(`move it, then: holdfast await ${name} --instance ${ticket.instance} --epoch ${epoch}\n`);
  }
  return 0;
}

type Done = Awaited<ReturnType<ProxyView['pinHold']>> | Awaited<ReturnType<ProxyView['releaseHold']>>;

async function decide(
  proxy: ProxyView,
  verb: Verb,
  wanted: Wanted,
  { by, reason }: { readonly by: number | undefined; readonly reason: string },
): Promise<Done> {
  switch (verb) {
    case 'extend':
      if (by === undefined) throw new ConfigError('bad-option', '--by is missing: by how much?');
      return proxy.extendHold({ ...wanted, byMs: by, request: randomUUID() });
    case 'release':
      return proxy.releaseHold({ ...wanted, why: reason });
    case 'pin':
      return proxy.pinHold(wanted);
    case 'unpin':
      return proxy.unpinHold(wanted);
    default:
      return assertNever(verb);
  }
}

function sentence(verb: Verb, done: Done): string {
  if ('sessions' in done) {
    return done.workloads === 0 ? 'had been ended before' : `ended, with ${done.sessions} sessions`;
  }
  const ends = done.holds.map((row) => (row.until === undefined ? 'without an end' : `${left(row)} left`));
  if (verb !== 'pin') return ends.length === 0 ? 'unpinned' : `held, ${ends.join(' and ')}`;
  return ends.length === 0 ? 'will be held without an end when its application goes away' : 'held without an end';
}
