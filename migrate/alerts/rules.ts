import { z } from 'zod';
import { count, duration, name } from '../../shim/program/values.js';
import { alertRulesMax, concurrencyMax } from '../limits.js';

const wanted = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);
const rule = z.strictObject({
  name: name().schema,
  /** Label to value, to a list of values, or to "*": any value. All labels must fit. */
  match: z
    .record(z.string(), wanted)
    .refine((labels) => Object.keys(labels).length > 0, 'a rule without labels fits all'),
  do: z.enum(['evacuate', 'notify']),
  /** The label that names the node; its own name, its address, or either with a port. */
  node: z.string().min(1).optional(),
  to: z.array(name().schema).min(1).optional(),
  /** How long to wait for the alert to be resolved. */
  delay: duration().schema.default(30_000),
  /** After an evacuation of a node has begun, no other one of it begins for so long. */
  'cool-down': duration().schema.default(3_600_000),
  'dry-run': z.boolean().default(false),
  concurrency: count(1, concurrencyMax).schema.default(2),
  'allow-unknown': z.boolean().default(false),
  'ignore-anti-affinity': z.boolean().default(false),
});

/** The file of `--alerts-rules`. */
export const alertRules = z.strictObject({
  /** Evacuations at the same time; more wait, and can still be resolved. */
  'at-once': count(1, 32).schema.default(1),
  rules: z.array(rule).min(1).max(alertRulesMax),
});

export type AlertRules = z.infer<typeof alertRules>;
export type AlertRule = AlertRules['rules'][number];

export type Decision =
  | { readonly kind: 'evacuate'; readonly rule: AlertRule; readonly node: string }
  | { readonly kind: 'notify'; readonly rule: AlertRule }
  /** No rule fits, or nobody knows which node is meant. */
  | { readonly kind: 'ignore'; readonly why: 'no-rule' | 'no-node' };

/** Nodes by name, with the host of each agent. */
export type NodeHosts = Readonly<Record<string, string>>;

type Labels = Readonly<Record<string, string>>;

const nodeLabels = ['node', 'nodename', 'instance'] as const;

/**
 * Grafana's way to say that it could not look: the labels are those of the rule, which says nothing of the node. Only rules
 * that name such an alert get it.
 */
const blindAlerts = new Set(['DatasourceNoData', 'DatasourceError']);

/** The first rule that fits counts. */
export function decide({ rules }: AlertRules, labels: Labels, nodes: NodeHosts): Decision {
  const rule = rules.find((each) => fits(each, labels));
  if (rule === undefined) return { kind: 'ignore', why: 'no-rule' };
  if (rule.do === 'notify') return { kind: 'notify', rule };
  const node = nodeOf(rule, labels, nodes);
  return node === undefined ? { kind: 'ignore', why: 'no-node' } : { kind: 'evacuate', rule, node };
}

function fits({ match }: AlertRule, labels: Labels): boolean {
  const alertname = labels.alertname ?? '';
  if (blindAlerts.has(alertname) && !asList(match.alertname).includes(alertname)) return false;
  return Object.entries(match).every(([label, wanted]) => {
    const value = Object.hasOwn(labels, label) ? labels[label] : undefined;
    return value !== undefined && (wanted === '*' || asList(wanted).includes(value));
  });
}

function asList(wanted: AlertRule['match'][string] | undefined): readonly string[] {
  return wanted === undefined ? [] : typeof wanted === 'string' ? [wanted] : wanted;
}

function nodeOf({ node }: AlertRule, labels: Labels, nodes: NodeHosts): string | undefined {
  const values = (node === undefined ? nodeLabels : [node]).flatMap((label) => labels[label] ?? []);
  for (const value of values) {
    const host = value.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
    for (const [name, address] of Object.entries(nodes)) {
      if (name === value || name === host || address === host) return name;
    }
  }
  return undefined;
}
