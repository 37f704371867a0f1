import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { CodedError, errorText } from './errors.js';
import { readTextFile, type ValueKind } from './values.js';

/**
 * Options are declared once, with the name of the flag: `listen` is `--listen`, `HOLDFAST_LISTEN` and `listen:` in the
 * YAML file. Flags win over the environment, the environment over the file, the file over the default.
 */
export interface Option<T> {
  readonly kind: ValueKind<T>;
  /** One sentence for `--help`; says the unit where the value has none. */
  readonly help: string;
  /** As a user would write it; goes through the same check. */
  readonly default?: string;
  readonly presence: 'default' | 'optional' | 'required';
}

export type OptionSet = Readonly<Record<string, Option<unknown>>>;

type Camel<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;

/** The values of a set of options, under the names of the flags in camelCase. */
export type Settings<Options extends OptionSet> = {
  readonly [Name in keyof Options & string as Camel<Name>]: Options[Name] extends Option<infer T> ? T : never;
};

export class ConfigError extends CodedError<'bad-option' | 'bad-file'> {
  constructor(code: 'bad-option' | 'bad-file', message: string, options?: ErrorOptions) {
    super(code, 'operator', message, options);
  }
}

/** An option that has a default, written as a user would write it. */
export function option<T>(kind: ValueKind<T>, fallback: string, help: string): Option<T> {
  return { kind, help, default: fallback, presence: 'default' };
}

/** An option that may be left out. */
export function optional<T>(kind: ValueKind<T>, help: string): Option<T | undefined> {
  return { kind: { ...kind, schema: kind.schema.optional() }, help, presence: 'optional' };
}

/** An option that must be given somewhere. */
export function required<T>(kind: ValueKind<T>, help: string): Option<T> {
  return { kind, help, presence: 'required' };
}

export function environmentName(optionName: string): string {
  return `HOLDFAST_${optionName.replaceAll('-', '_').toUpperCase()}`;
}

export interface Sources {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of the YAML file, if one is used. */
  readonly file?: string | undefined;
}

/**
 * Looks every option up in its sources and checks it.
 * @throws {ConfigError} naming the option, where the value came from, and what is allowed
 */
export function resolveSettings<Options extends OptionSet>(options: Options, sources: Sources): Settings<Options> {
  const file = sources.file === undefined ? {} : readConfigFile(sources.file, options);
  const settings: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(options)) {
    settings[camelCase(name)] = resolveOption(name, spec, sources, file);
  }
  return settings as Settings<Options>;
}

function resolveOption(
  name: string,
  spec: Option<unknown>,
  sources: Sources,
  file: Readonly<Record<string, unknown>>,
): unknown {
  const variable = environmentName(name);
  const fromEnvironment = sources.environment[variable];
  const candidates: readonly (readonly [value: unknown, origin: string])[] = [
    [sources.flags[name], `--${name}`],
    [fromEnvironment === '' ? undefined : fromEnvironment, `${variable} (environment)`],
    [file[name], `${name} (in ${sources.file})`],
    [spec.default, `${name} (default)`],
  ];
  const found = candidates.find(([value]) => value !== undefined && value !== null);
  if (found === undefined) {
    if (spec.presence === 'optional') return undefined;
    if (spec.kind.isSwitch) return false;
    throw new ConfigError(
      'bad-option',
      `--${name} is missing: give it as a flag, as ${variable} or in the file of --config`,
    );
  }
  const [value, origin] = found;
  const result = spec.kind.schema.safeParse(value);
  if (result.success) return result.data;
  const place = placeIn(value, result.error);
  const named = origin.replace(name, [name, ...place.path].join('.'));
  throw new ConfigError('bad-option', `${named}: ${shown(place.value)} is not allowed, ${firstIssue(result.error)}`);
}

/** Where in a value of more than one part the fault is; one that was written as text is shown whole. */
function placeIn(
  value: unknown,
  error: z.ZodError,
): { readonly path: readonly PropertyKey[]; readonly value: unknown } {
  const path = error.issues[0]?.path ?? [];
  if (typeof value === 'string' || path.length === 0) return { path: [], value };
  let part: unknown = value;
  for (const key of path) part = typeof part === 'object' && part !== null ? Reflect.get(part, key) : undefined;
  return { path, value: part };
}

function readConfigFile(file: string, options: OptionSet): Readonly<Record<string, unknown>> {
  const content = readYaml(file) ?? {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ConfigError('bad-file', `${file}: expected "option: value" lines`);
  }
  const unknown = Object.keys(content).find((key) => !Object.hasOwn(options, key));
  if (unknown !== undefined) {
    const known = Object.keys(options).join(', ');
    throw new ConfigError('bad-option', `${unknown} (in ${file}): no such option, known are ${known}`);
  }
  return content as Record<string, unknown>;
}

/**
 * Reads a YAML file of some other shape than options (the cluster file, for one) through a schema.
 * @throws {ConfigError} naming the file, the place in it, and what is allowed
 */
export function loadYaml<T>(file: string, schema: z.ZodType<T>): T {
  const result = schema.safeParse(readYaml(file), {
    error: ({ input }) => (input === undefined ? 'is missing' : null),
  });
  if (result.success) return result.data;
  const at = result.error.issues[0]?.path.join('.') || 'content';
  throw new ConfigError('bad-file', `${file}: ${at}: ${firstIssue(result.error)}`);
}

function readYaml(file: string): unknown {
  try {
    return parseYaml(readTextFile(file));
  } catch (cause) {
    const firstLine = errorText(cause).split('\n')[0]?.replace(/:$/, '');
    throw new ConfigError('bad-file', `${file} cannot be read: ${firstLine}`, { cause });
  }
}

function firstIssue(error: z.ZodError): string {
  return error.issues[0]?.message ?? 'not valid';
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? `"${value}"` : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
