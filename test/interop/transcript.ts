/** What a program has printed, made comparable: everything but what two runs cannot have in common. */

export type Event = Readonly<Record<string, unknown>>;

/**
 * What may differ between two runs of a program, all of it: numbers that the database gives to a session, the port that was
 * connected to, and the random name of a connection attempt. No times are printed.
 */
const ownKeys: ReadonlySet<string> = new Set(['sid', 'serial', 'session_id', 'serial_num']);
const ownTexts: readonly (readonly [pattern: RegExp, shown: string])[] = [
  [/CONNECTION_ID=[A-Za-z0-9+/=]+/g, 'CONNECTION_ID=...'],
  [/127\.0\.0\.\d+:\d+/g, 'HOST:PORT'],
  [/\bport "?\d+"?/g, 'port N'],
  [/\bhost "?127\.0\.0\.\d+"?/g, 'host H'],
];

/** The events of a program's output; lines that are no JSON object are somebody else's. */
export function eventsOf(output: string): Event[] {
  const lines = output.split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{')).map((line): Event => JSON.parse(line));
}

export function normalised(value: unknown, key = ''): unknown {
  if (ownKeys.has(key) && typeof value === 'number') return 'N';
  if (typeof value === 'string')
    return ownTexts.reduce((text, [pattern, shown]) => text.replace(pattern, shown), value);
  if (Array.isArray(value)) return value.map((each) => normalised(each));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, normalised(each, name)]));
}

const shownLength = 300;

/** One line for each place where the transcripts differ; nothing when they are the same. */
export function differences(straight: readonly Event[], proxied: readonly Event[]): string[] {
  const found: string[] = [];
  for (let index = 0; index < Math.max(straight.length, proxied.length); index++) {
    const [one, other] = [straight[index], proxied[index]].map(shown);
    if (one !== other) found.push(`line ${index + 1}: ${firstDifference(one ?? '', other ?? '')}`);
  }
  return found;
}

function shown(event: Event | undefined): string {
  return event === undefined ? 'nothing' : JSON.stringify(normalised(event));
}

function firstDifference(one: string, other: string): string {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  const from = Math.max(0, at - 40);
  const part = (text: string) => text.slice(from, from + shownLength);
  return `straight ${part(one)} | proxied ${part(other)}`;
}
