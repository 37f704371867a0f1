/** The rules of holds as they stand in the proxy's YAML file, and the policy that is made of them. */
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { choice, duration, list, text, type ValueKind } from '../../shim/program/values.js';
import { holdRulesMax } from '../limits.js';
import { endings, type HoldPolicy, type HoldRule } from './rules.js';

const names = list({ ...text(), schema: text().schema.pipe(z.string().max(128)) }).schema;
const fields = {
  name: text().schema.optional(),
  service: names.optional(),
  user: names.optional(),
  transaction: duration().schema.optional(),
  call: duration().schema.optional(),
  idle: duration().schema.optional(),
  'at-end': choice(...endings).schema.optional(),
  warn: list(duration()).schema.optional(),
  owner: text().schema.optional(),
};
const known = Object.keys(fields).join(', ');

const rule = z
  .strictObject(fields, {
    error: ({ code }) => (code === 'unrecognized_keys' ? `known in a rule are ${known}` : 'expected a rule'),
  })
  .refine(({ service, user }) => service !== undefined || user !== undefined, {
    error: 'expected service or user: what holds for all is said by hold-transaction, hold-call and so on',
  });
const rules = z
  .array(rule, { error: 'expected a list of rules' })
  .max(holdRulesMax, `expected no more than ${holdRulesMax} rules`);

export type RuleOption = z.infer<typeof rule>;

/** In the YAML file a list; as a flag or in the environment the same as text: `[{ user: BATCH, transaction: 6h }]`. */
export function holdRules(): ValueKind<readonly RuleOption[]> {
  const schema = z.preprocess((value) => (typeof value === 'string' ? yamlOf(value) : value), rules);
  return { placeholder: 'RULES', schema };
}

function yamlOf(value: string): unknown {
  try {
    return parseYaml(value);
  } catch {
    // Not a list then, which is what the check says.
    return value;
  }
}

/** The settings of the options `--hold-*`. */
export interface HoldSettings {
  readonly holdTransaction: number;
  readonly holdCall: number;
  readonly holdIdle: number;
  readonly holdAtEnd: HoldRule['atEnd'];
  readonly holdWarn: readonly number[];
  readonly holdOwner: string | undefined;
  readonly holdRules: readonly RuleOption[];
}

/** What a rule leaves out is as the options say. */
export function policyOf(settings: HoldSettings): HoldPolicy {
  const otherwise: HoldRule = {
    name: 'default',
    services: [],
    users: [],
    budgetMs: { call: settings.holdCall, transaction: settings.holdTransaction, idle: settings.holdIdle },
    atEnd: settings.holdAtEnd,
    warnMs: settings.holdWarn,
    owner: settings.holdOwner,
  };
  return { rules: settings.holdRules.map((option, index) => ruleOf(option, index, otherwise)), otherwise };
}

function ruleOf(option: RuleOption, index: number, otherwise: HoldRule): HoldRule {
  const { budgetMs } = otherwise;
  return {
    name: option.name ?? `rule ${index + 1}`,
    services: option.service ?? [],
    users: option.user ?? [],
    budgetMs: {
      call: option.call ?? budgetMs.call,
      transaction: option.transaction ?? budgetMs.transaction,
      idle: option.idle ?? budgetMs.idle,
    },
    atEnd: option['at-end'] ?? otherwise.atEnd,
    warnMs: option.warn ?? otherwise.warnMs,
    owner: option.owner ?? otherwise.owner,
  };
}
