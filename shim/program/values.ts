import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type Address, parseAddress } from './address.js';

/** The kinds of values an option can have. All accept text (flags, environment) and the scalars of YAML. */
export interface ValueKind<T> {
  /** Shown in `--help` after the flag. */
  readonly placeholder: string;
  readonly schema: z.ZodType<T>;
  /** A flag without a value. */
  readonly isSwitch?: true;
}

const scalar = z
  .union([z.string(), z.number(), z.boolean()], { error: 'expected a single value' })
  .transform((value) => String(value).trim());

/** A kind of value of one's own. @param expected completes the sentence "expected ..." */
export function parsed<T>(placeholder: string, expected: string, parse: (text: string) => T | undefined): ValueKind<T> {
  const schema = scalar.transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `expected ${expected}` });
    return z.NEVER;
  });
  return { placeholder, schema };
}

export function text(placeholder = 'TEXT'): ValueKind<string> {
  return parsed(placeholder, 'some text', (value) => (value === '' ? undefined : value));
}

/** A path, taken as written; relative ones count from the working directory. */
export function path(placeholder = 'FILE'): ValueKind<string> {
  return parsed(placeholder, 'a path', (value) => (value === '' ? undefined : value));
}

/** Letters, digits, `.`, `_`, `-`: names that become parts of paths and log lines. */
export function name(): ValueKind<string> {
  return parsed(
    'NAME',
    'a name of letters, digits, ".", "_" or "-", at most 64 characters, starting with a letter or digit',
    (value) => (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value) ? value : undefined),
  );
}

export function address(): ValueKind<Address> {
  return parsed('HOST:PORT', 'HOST:PORT, for example 127.0.0.1:1521 or [::1]:1521', parseAddress);
}

const durationUnits = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Milliseconds from `500ms`, `30s`, `2m`, `1h`, `7d`. */
export function duration(): ValueKind<number> {
  return parsed('DURATION', 'a duration such as 500ms, 30s, 2m, 1h or 7d', (value) => withUnit(value, durationUnits));
}

const sizeUnits = new Map([
  ['B', 1],
  ['KiB', 1_024],
  ['MiB', 1_048_576],
  ['GiB', 1_073_741_824],
]);

/** Bytes from `512B`, `64KiB`, `1MiB`, `2GiB`. */
export function size(): ValueKind<number> {
  return parsed('SIZE', 'a size such as 512B, 64KiB, 16MiB or 1GiB', (value) => withUnit(value, sizeUnits));
}

function withUnit(value: string, units: ReadonlyMap<string, number>): number | undefined {
  if (value === '0') return 0;
  const match = /^(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]+)$/.exec(value);
  const factor = units.get(match?.[2] ?? '');
  if (match === null || factor === undefined) return undefined;
  const amount = Number(match[1]) * factor;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

export function count(min: number, max: number): ValueKind<number> {
  return parsed('N', `a whole number from ${min} to ${max}`, (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max ? number : undefined;
  });
}

export function choice<const T extends string>(...allowed: readonly T[]): ValueKind<T> {
  return parsed(allowed.join('|'), `one of ${allowed.join(', ')}`, (value) => allowed.find((each) => each === value));
}

/** A switch: `--flag` turns it on; in the environment and in YAML it is `true` or `false`. */
export function flag(): ValueKind<boolean> {
  const kind = parsed('', 'true or false', (value) => ({ true: true, false: false })[value]);
  return { ...kind, isSwitch: true };
}

/** Values separated by commas; in YAML also a list. */
export function list<T>(of: ValueKind<T>): ValueKind<readonly T[]> {
  const separated = z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').map((each) => each.trim()) : value),
    z.array(of.schema),
  );
  return { placeholder: `${of.placeholder},...`, schema: separated };
}

/** Reads a file named by an option; throws Node.js' error. */
export function readTextFile(file: string): string {
  return readFileSync(file, 'utf8');
}
