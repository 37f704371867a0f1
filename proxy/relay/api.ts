/**
 * The HTTP API: Toxiproxy 2's paths, bodies and answers, so that its clients work unchanged, and ours below `/holdfast` beside it.
 * Like Toxiproxy's it knows no passwords: it belongs on loopback, or behind somebody who asks.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { formatAddress, parseAddress } from '../../shim/program/address.js';
import { errorText } from '../../shim/program/errors.js';
import { faultRules, legs, toxic } from '../inject/contract.js';
import { watchMsMax } from '../inject/limits.js';
import { type ActiveToxic, streams } from './connection.js';
import { RelayError } from './errors.js';
import { bodyBytesMax } from './limits.js';
import type { Relay } from './relay.js';
import type { Relays } from './relays.js';

/** Of the API that is spoken here. */
const toxiproxyVersion = '2.12.0';

const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text.startsWith(':') ? `0.0.0.0${text}` : text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not HOST:PORT` });
  return z.NEVER;
});
const relayBody = z.object({
  name: z.string().min(1, 'missing required field: name'),
  listen: address.default({ host: '127.0.0.1', port: 0 }),
  upstream: address,
  enabled: z.boolean().default(true),
  /** Ours: where it stands, so that rules find it. */
  leg: z.enum(legs).optional(),
});
const relayUpdate = relayBody.pick({ listen: true, upstream: true, enabled: true }).partial();
const toxicBody = z.looseObject({
  name: z.string().default(''),
  type: z.string(),
  stream: z.enum(streams).default('downstream'),
  toxicity: z.number().min(0).max(1).default(1),
  attributes: z.record(z.string(), z.unknown()).default({}),
  seed: z.int().default(1),
});
const toxicUpdate = z.object({
  toxicity: z.number().min(0).max(1).optional(),
  attributes: z.record(z.string(), z.unknown()).default({}),
});
const removal = z.object({ ids: z.array(z.string()).optional() });

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

type Handler = (request: Asked) => Promise<Answer> | Answer;

interface Asked {
  readonly relays: Relays;
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly body: unknown;
}

/** `*` stands for a name. */
const routes: readonly (readonly [methods: string, path: string, handler: Handler])[] = [
  ['GET', 'version', () => ({ status: 200, body: { version: toxiproxyVersion } })],
  ['POST', 'reset', async ({ relays }) => relays.reset().then(() => ({ status: 204 }))],
  ['GET', 'proxies', ({ relays }) => ({ status: 200, body: byName(relays.all) })],
  ['POST', 'proxies', createRelay],
  ['POST', 'populate', populate],
  ['GET', 'proxies/*', ({ relays, path }) => ({ status: 200, body: shown(relays.get(path[1] ?? '')) })],
  ['POST,PATCH', 'proxies/*', updateRelay],
  ['DELETE', 'proxies/*', async ({ relays, path }) => relays.delete(path[1] ?? '').then(() => ({ status: 204 }))],
  ['GET', 'proxies/*/toxics', ({ relays, path }) => ({ status: 200, body: shown(relays.get(path[1] ?? '')).toxics })],
  ['POST', 'proxies/*/toxics', createToxic],
  ['GET', 'proxies/*/toxics/*', (asked) => ({ status: 200, body: shownToxic(theToxic(asked)) })],
  ['POST,PATCH', 'proxies/*/toxics/*', updateToxic],
  ['DELETE', 'proxies/*/toxics/*', deleteToxic],
  ['GET', 'holdfast/faults', ({ relays }) => ({ status: 200, body: { run: relays.acts.run, rules: relays.rows() } })],
  ['POST', 'holdfast/faults', addFaults],
  ['POST', 'holdfast/faults/remove', removeFaults],
  ['GET', 'holdfast/acts', watchActs],
];

/** Not listening yet. */
export function relayApi(relays: Relays): Server {
  return createServer((request, response) => {
    void answer(relays, request).then((given) => respond(response, given));
  });
}

async function answer(relays: Relays, request: IncomingMessage): Promise<Answer> {
  try {
    // What a page in a browser asks for nobody has asked for.
    if (/^Mozilla\//.test(request.headers['user-agent'] ?? '')) {
      return { status: 403, body: { error: 'User agent not allowed', status: 403 } };
    }
    const url = new URL(request.url ?? '/', 'http://relay');
    const path = url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
    const found = routes.filter(([, pattern]) => fits(pattern, path));
    const route = found.find(([methods]) => methods.split(',').includes(request.method ?? ''));
    if (route === undefined) {
      const status = found.length === 0 ? 404 : 405;
      return { status, body: { error: status === 404 ? 'not found' : 'method not allowed', status } };
    }
    return await route[2]({ relays, path, query: url.searchParams, body: await bodyOf(request) });
  } catch (thrown) {
    const status = thrown instanceof RelayError ? thrown.status : 500;
    const code = thrown instanceof RelayError ? { code: thrown.code } : {};
    return { status, body: { error: errorText(thrown), status, ...code } };
  }
}

function respond(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, body === undefined ? {} : { 'content-type': 'application/json' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax)
      throw new RelayError('relay-bad-request', `bad request body: more than ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new RelayError('relay-bad-request', `bad request body: ${errorText(cause)}`, { cause });
  }
}

async function createRelay({ relays, body }: Asked): Promise<Answer> {
  return { status: 201, body: shown(await create(relays, checked(relayBody, body))) };
}

function create(relays: Relays, given: z.infer<typeof relayBody>): Promise<Relay> {
  return relays.create({ ...given, leg: given.leg });
}

/** Those that are as they should be stay as they are. */
async function populate({ relays, body }: Asked): Promise<Answer> {
  const wanted = checked(z.array(relayBody), body);
  const made: Relay[] = [];
  for (const given of wanted) {
    const present = relays.all.find(({ name }) => name === given.name);
    const isSame = present !== undefined && isAt(present, given);
    if (isSame) await present.enable(given.enabled);
    else if (present !== undefined) await relays.delete(given.name);
    made.push(isSame ? present : await create(relays, given));
  }
  return { status: 201, body: { proxies: made.map(shown) } };
}

function isAt({ listen, upstream }: Relay, given: z.infer<typeof relayBody>): boolean {
  return (
    formatAddress(listen) === formatAddress(given.listen) && formatAddress(upstream) === formatAddress(given.upstream)
  );
}

async function updateRelay({ relays, path, body }: Asked): Promise<Answer> {
  const relay = relays.get(path[1] ?? '');
  const { listen = relay.listen, upstream = relay.upstream, enabled = relay.isEnabled } = checked(relayUpdate, body);
  const isMoved = formatAddress(listen) !== formatAddress(relay.listen);
  if (isMoved || formatAddress(upstream) !== formatAddress(relay.upstream)) await relay.move(listen, upstream);
  await relay.enable(enabled);
  return { status: 200, body: shown(relay) };
}

async function createToxic({ relays, path, body }: Asked): Promise<Answer> {
  const relay = relays.get(path[1] ?? '');
  const { name, type, stream, toxicity, attributes, seed } = checked(toxicBody, body);
  const made: ActiveToxic = {
    name: name === '' ? `${type}_${stream}` : name,
    toxic: checked(toxic, { type, attributes }),
    streams: [stream],
    toxicity,
    seed,
  };
  await relays.addToxic(relay, made);
  return { status: 200, body: shownToxic(made) };
}

async function updateToxic(asked: Asked): Promise<Answer> {
  const { relays, path, body } = asked;
  const relay = relays.get(path[1] ?? '');
  const present = theToxic(asked);
  const update = checked(toxicUpdate, body);
  const attributes = { ...present.toxic.attributes, ...update.attributes };
  const made = {
    ...present,
    toxic: checked(toxic, { type: present.toxic.type, attributes }),
    toxicity: update.toxicity ?? present.toxicity,
  };
  await relays.removeToxic(relay, present.name);
  await relays.addToxic(relay, made);
  return { status: 200, body: shownToxic(made) };
}

async function deleteToxic({ relays, path }: Asked): Promise<Answer> {
  await relays.removeToxic(relays.get(path[1] ?? ''), path[3] ?? '');
  return { status: 204 };
}

async function addFaults({ relays, body }: Asked): Promise<Answer> {
  const { rules } = checked(z.object({ rules: faultRules }), body);
  const added = await relays.addRules(rules);
  return { status: 200, body: { run: relays.acts.run, added, rules: relays.rows() } };
}

async function removeFaults({ relays, body }: Asked): Promise<Answer> {
  const { ids } = checked(removal, body ?? {});
  return { status: 200, body: { run: relays.acts.run, removed: await relays.removeRules(ids, 'removed') } };
}

async function watchActs({ relays, query }: Asked): Promise<Answer> {
  const number = z.coerce.number().int().min(0);
  const after = checked(number, query.get('after') ?? 0);
  const waitMs = checked(number.max(watchMsMax), query.get('waitMs') ?? 0);
  return { status: 200, body: await relays.acts.watch(after, waitMs) };
}

/** @throws {RelayError} relay-unknown, toxic-unknown */
function theToxic({ relays, path }: Asked): ActiveToxic {
  const found = relays.get(path[1] ?? '').toxics.get(path[3] ?? '');
  if (found === undefined) throw new RelayError('toxic-unknown', 'toxic not found');
  return found;
}

function shown(relay: Relay) {
  const { name, isEnabled: enabled, leg } = relay;
  const toxics = [...relay.toxics.values()].map(shownToxic);
  const [listen, upstream] = [formatAddress(relay.listen), formatAddress(relay.upstream)];
  return { name, listen, upstream, enabled, toxics, ...(leg === undefined ? {} : { leg }) };
}

function byName(relays: readonly Relay[]): Record<string, ReturnType<typeof shown>> {
  return Object.fromEntries(relays.map((relay) => [relay.name, shown(relay)]));
}

function shownToxic({ name, toxic: { type, attributes }, streams: [stream], toxicity }: ActiveToxic) {
  return { name, type, stream, toxicity, attributes };
}

/** @throws {RelayError} relay-bad-request */
function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RelayError('relay-bad-request', `bad request body: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
}

function fits(pattern: string, path: readonly string[]): boolean {
  const parts = pattern.split('/');
  return parts.length === path.length && parts.every((part, at) => part === '*' || part === path[at]);
}
