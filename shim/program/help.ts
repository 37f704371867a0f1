import { type Command, Option as CommanderOption } from 'commander';
import type { Option, OptionSet } from './config.js';
import { securityOptions } from './security.js';

export type Examples = readonly (readonly [line: string, what: string])[];

/** Options that every command has go last: what is special about a command comes first. */
export const commonHeading = 'Common options:';
const securityHeading = 'Protection, one of three ways:';

/** Declares the options of a command; they show up in `--help` under the heading of their kind. */
export function addOptions(command: Command, own: OptionSet, common: OptionSet): void {
  for (const [name, spec] of Object.entries({ ...own, ...common })) {
    const flags = spec.kind.isSwitch ? `--${name}` : `--${name} <${spec.kind.placeholder}>`;
    const heading = name in common ? commonHeading : name in securityOptions ? securityHeading : 'Options:';
    command.addOption(new CommanderOption(flags, describe(spec)).helpGroup(heading));
  }
}

function describe(spec: Option<unknown>): string {
  if (spec.presence === 'required') return `${spec.help} (required)`;
  return spec.default === undefined || spec.kind.isSwitch ? spec.help : `${spec.help} (default ${spec.default})`;
}

const sources = `Every option can also be an environment variable (--log-level is
HOLDFAST_LOG_LEVEL) or a line in the file of --config (log-level: debug). Flags
win over the environment, the environment over the file.`;

/** What follows the options in `--help`. */
export function helpAfter(examples: Examples): string {
  const lines = examples.map(([line, what]) => `  ${what}:\n    ${line}`);
  return `\n${sources}\n${lines.length === 0 ? '' : `\nExamples:\n${lines.join('\n')}\n`}`;
}
