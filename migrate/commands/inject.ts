import { parse } from 'yaml';
import { z } from 'zod';
import { type FaultAct, type FaultRow, type FaultRule, faultRules, legs } from '../../proxy/inject/contract.js';
import { watchMsMax } from '../../proxy/inject/limits.js';
import { serveRelays } from '../../proxy/relay/serve.js';
import { formatAddress, parseAddress } from '../../shim/program/address.js';
import { ConfigError, option, optional } from '../../shim/program/config.js';
import { errorText } from '../../shim/program/errors.js';
import { defineCommand } from '../../shim/program/run.js';
import { address, flag, list, parsed, path, readTextFile, text } from '../../shim/program/values.js';
import { InjectError } from '../inject/errors.js';
import { type FaultTarget, proxyTarget, relayTarget } from '../inject/targets.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { type Column, printJson, printTable, shownMs } from '../output.js';

const targetOptions = {
  relay: optional(text('URL'), 'HTTP address of a relay: faults of transport are asked of it, not of the proxy'),
  json: option(flag(), 'false', 'print everything that is known, as JSON'),
  ...operatorOptions,
} as const;

const columns: readonly Column<FaultRow>[] = [
  { head: 'fault', cell: ({ rule }) => rule.id },
  { head: 'where', cell: ({ rule }) => whereOf(rule) },
  { head: 'what', cell: ({ rule }) => (rule.kind === 'call' ? rule.action.kind : rule.toxic.type) },
  { head: 'matched', cell: ({ matches }) => matches, align: 'right', spare: 2 },
  { head: 'acted', cell: ({ acts }) => acts, align: 'right' },
  { head: 'holds', cell: ({ holding }) => holding, align: 'right', spare: 3 },
  { head: 'left', cell: ({ leftMs }) => shownMs(leftMs), align: 'right' },
  { head: 'chance', cell: ({ rule }) => rule.probability, align: 'right', spare: 1 },
  { head: 'seed', cell: ({ rule }) => rule.seed, align: 'right', spare: 4 },
];

function whereOf(rule: FaultRule): string {
  return rule.kind === 'call' ? `${rule.when.at} of ${rule.when.call}` : `${rule.leg}, ${rule.direction}`;
}

function targetOf(
  settings: { readonly relay: string | undefined } & ConstructorParameters<typeof Operator>[0],
): FaultTarget {
  return settings.relay === undefined ? proxyTarget(new Operator(settings).proxy) : relayTarget(settings.relay);
}

const add = defineCommand({
  name: 'add',
  summary: 'Adds faults to a proxy that allows them, or to a relay; those that are there already are renewed.',
  positional: '<rules>',
  options: targetOptions,
  examples: [
    [
      'holdfast inject add lost-answer.yaml',
      'One rule or a list of them; docs/failure-injection.md says what is in it',
    ],
    ["holdfast inject add '{ id: c, kind: call, ... }'", 'A rule in the command line; - reads from stdin'],
    ['holdfast inject add slow.yaml --relay http://127.0.0.1:8474', 'Faults of transport, at a relay'],
  ],
  async main({ settings, args }) {
    const rules = readRules(args[0] ?? '');
    const target = targetOf(settings);
    const { added } = await target.add(rules, whoAsks());
    if (settings.json) printJson(await target.list());
    else {
      for (const { id, leaseMs } of rules) {
        const word = added.includes(id) ? 'added' : 'renewed';
        process.stdout.write(`${id} ${word}: it ends in ${shownMs(leaseMs)}, or with holdfast inject remove ${id}\n`);
      }
    }
    return 0;
  },
});

const listCommand = defineCommand({
  name: 'list',
  summary: 'Lists the faults of a proxy or a relay, what they have done, and how long they still live.',
  options: targetOptions,
  examples: [['holdfast inject list', 'A table; with --json the whole rules']],
  async main({ settings }) {
    const rows = await targetOf(settings).list();
    if (settings.json) printJson(rows);
    else printTable(columns, rows, 'there are no faults');
    return 0;
  },
});

const remove = defineCommand({
  name: 'remove',
  summary: 'Removes faults, and with them what they do: stalled bytes go on. Without names all of them.',
  positional: '[names...]',
  options: targetOptions,
  examples: [
    ['holdfast inject remove', 'All of them'],
    ['holdfast inject remove slow', 'The one of this name'],
  ],
  async main({ settings, args }) {
    const { removed } = await targetOf(settings).remove(args.length === 0 ? undefined : args, whoAsks());
    if (settings.json) printJson(removed);
    else process.stdout.write(removed.length === 0 ? 'there was none\n' : `removed: ${removed.join(', ')}\n`);
    return 0;
  },
});

const watch = defineCommand({
  name: 'watch',
  summary: 'Prints each fault as it acts, until it is interrupted.',
  options: { ...targetOptions, once: option(flag(), 'false', 'print those that have acted so far, and end') },
  examples: [
    ['holdfast inject watch', 'A line for each act'],
    ['holdfast inject watch --json > acts.jsonl', 'The same as JSON, one act a line'],
  ],
  async main({ settings, onInterrupt }) {
    const target = targetOf(settings);
    let isOver = settings.once;
    onInterrupt(() => {
      isOver = true;
    });
    let run: string | undefined;
    for (let after = 0; ; ) {
      const seen = await target.watch(after, isOver ? 0 : watchMsMax);
      // Another worker counts from 1 again.
      if (run !== undefined && seen.run !== run) after = 0;
      if (run === undefined || seen.run === run) {
        if (seen.missed > 0) process.stderr.write(`${seen.missed} acts are in the audit log only\n`);
        for (const act of seen.acts) process.stdout.write(settings.json ? `${JSON.stringify(act)}\n` : lineOf(act));
        after = seen.acts.at(-1)?.seq ?? after;
        if (isOver && seen.acts.length === 0) return 0;
      }
      run = seen.run;
    }
  },
});

function lineOf({ at, rule, action, point, call, workload, relay, session, connection, ora }: FaultAct): string {
  const where = call === undefined ? `${relay} connection ${connection ?? '-'}` : `${workload} session ${session}`;
  const when = call === undefined ? '' : ` ${point} of ${call}`;
  return `${at.slice(11, 23)} ${rule}: ${action}${ora === undefined ? '' : ` ${ora}`}${when}, ${where}\n`;
}

const standing = parsed(
  'LEG=LISTEN/UPSTREAM',
  `a leg (${legs.join(', ')}), where to listen, and where to go on to: database=127.0.0.1:1522/dbhost:1521`,
  (word) => {
    const [, name = '', from = '', to = ''] = /^(\w+)=([^/]+)\/([^/]+)$/.exec(word) ?? [];
    const leg = legs.find((each) => each === name);
    const [listen, upstream] = [parseAddress(from), parseAddress(to)];
    return leg && listen && upstream ? { leg, listen, upstream } : undefined;
  },
);

const serve = defineCommand({
  name: 'serve',
  summary: 'Runs relays for faults of transport on any leg, with the HTTP API of Toxiproxy.',
  options: {
    listen: option(address(), '127.0.0.1:8474', 'the HTTP API; it asks nobody for a password'),
    relays: option(list(standing), '', 'relays that are there from the start, with commas between'),
    'audit-log': optional(
      path(),
      'file to which every fault that is asked for, acts or ends is appended, as JSON lines',
    ),
  },
  examples: [
    [
      'holdfast inject serve --relays database=127.0.0.1:1522/dbhost:1521',
      'Between proxy and database: holdfast-proxy --database 127.0.0.1:1522',
    ],
    ['holdfast inject serve', 'Relays are made by the clients of Toxiproxy, or by: toxiproxy-cli create'],
  ],
  async main({ settings, log, onStop, serve: stopped }) {
    const served = await serveRelays(
      { api: settings.listen, relays: settings.relays, auditLog: settings.auditLog },
      log,
    );
    onStop('relays', () => served.close());
    const relays = served.relays.all.map(({ name, listen, upstream }) => ({
      name,
      listen: formatAddress(listen),
      upstream: formatAddress(upstream),
    }));
    log.info({ listen: served.api, relays }, 'relaying');
    await stopped();
    return 0;
  },
});

/** @throws {InjectError} fault-invalid @throws {ConfigError} bad-option: the file cannot be read */
function readRules(word: string): readonly FaultRule[] {
  const content = /^\s*[[{]/.test(word) ? word : fileText(word === '-' ? '/dev/stdin' : word);
  const rules = z.preprocess((value) => (Array.isArray(value) ? value : [value]), faultRules).safeParse(yaml(content));
  if (rules.success) return rules.data;
  const issues = rules.error.issues.map((issue) => `${issue.path.join('.') || 'the rule'}: ${issue.message}`);
  throw new InjectError('fault-invalid', issues.join('; '));
}

function yaml(content: string): unknown {
  try {
    return parse(content);
  } catch (cause) {
    throw new InjectError('fault-invalid', `not YAML: ${errorText(cause)}`, { cause });
  }
}

function fileText(file: string): string {
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new ConfigError('bad-option', `${file} cannot be read: ${errorText(cause)}`, { cause });
  }
}

export const injectCommands = { add, list: listCommand, remove, watch, serve };
