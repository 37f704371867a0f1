/** Faults of transport, each on a real connection, asked for by Toxiproxy's own client: each acts, and is gone when it is removed. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Toxiproxy } from 'toxiproxy-node-client';
import type { AuditEntry } from '../../../proxy/audit/entry.js';
import { type FaultRuleInput, faultRule } from '../../../proxy/inject/contract.js';
import { relayApi } from '../../../proxy/relay/api.js';
import { bodyBytesMax, relaysMax, toxicsMax, waitingBytesMax } from '../../../proxy/relay/limits.js';
import { Relays } from '../../../proxy/relay/relays.js';
import type { Clock } from '../../../shim/link/index.js';
import { systemClock } from '../../../shim/link/socket.js';
import { HandClock } from '../inject/hand-clock.js';

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** Says everything back; `sockets` are its ends, in order. */
async function echo(t: Test): Promise<{ port: number; sockets: Socket[]; heard: Buffer[] }> {
  const sockets: Socket[] = [];
  const heard: Buffer[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      heard.push(chunk);
      socket.write(chunk);
    });
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: portOf(server), sockets, heard };
}

async function stage(t: Test, clock: Clock = systemClock) {
  const entries: AuditEntry[] = [];
  const relays = new Relays({ clock, audit: { record: (entry) => entries.push(entry) } });
  const api = relayApi(relays);
  api.listen(0, '127.0.0.1');
  await once(api, 'listening');
  const url = `http://127.0.0.1:${portOf(api)}`;
  t.teardown(async () => {
    await relays.close();
    api.closeAllConnections();
    api.close();
  });
  const server = await echo(t);
  const toxiproxy = new Toxiproxy(url);
  const upstream = `127.0.0.1:${server.port}`;
  const proxy = await toxiproxy.createProxy({ name: 'db', listen: '127.0.0.1:0', upstream, enabled: true });
  const port = Number(proxy.listen.split(':').at(-1));
  const dial = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  return { entries, relays, url, server, toxiproxy, proxy, upstream, port, dial };
}

/** Sends, and waits until as much has come back. */
async function say(socket: Socket, text: string): Promise<number> {
  const beganMs = performance.now();
  socket.write(text);
  let heard = '';
  while (heard.length < text.length) heard += (await once(socket, 'data')).toString();
  if (heard !== text) throw new Error(`not what was said: ${heard.length} of ${text.length}`);
  return performance.now() - beganMs;
}

/** How the connection ends. */
async function ended(socket: Socket): Promise<string> {
  let code = 'closed';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? 'error';
  });
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return code;
}

t.test('without toxics everything passes, in both directions, and so does the end of each', async (t) => {
  const { dial } = await stage(t);
  const socket = await dial();
  await say(socket, 'x'.repeat(300_000));
  socket.end();
  t.equal(await ended(socket), 'closed');
});

t.test('latency: everything comes later, until it is removed', async (t) => {
  const { proxy, dial, entries } = await stage(t);
  const socket = await dial();
  const toxic = await proxy.addToxic({
    type: 'latency',
    name: 'slow',
    stream: 'downstream',
    toxicity: 1,
    attributes: { latency: 80, jitter: 0 },
  });
  t.ok((await say(socket, 'a')) >= 79);
  await toxic.remove();
  t.match(entries, [
    { event: 'fault-added', fault: 'db/slow' },
    { event: 'fault', fault: 'slow', act: { action: 'latency', relay: 'db', connection: 1 } },
    { event: 'fault-removed', fault: 'db/slow' },
  ]);
  socket.setNoDelay(true);
  await say(socket, 'b');
});

t.test('bandwidth: so many bytes take so long', async (t) => {
  const { proxy, dial } = await stage(t);
  const socket = await dial();
  await proxy.addToxic({ type: 'bandwidth', name: 'thin', stream: 'upstream', toxicity: 1, attributes: { rate: 100 } });
  t.ok((await say(socket, 'x'.repeat(15_000))) >= 149);
});

t.test('slicer: bytes come in slices', async (t) => {
  const { proxy, dial, server } = await stage(t);
  const socket = await dial();
  const attributes = { average_size: 100, size_variation: 20, delay: 5_000 };
  await proxy.addToxic({ type: 'slicer', name: 'slices', stream: 'upstream', toxicity: 1, attributes });
  await say(socket, 'x'.repeat(2_000));
  t.ok(server.heard.length > 2, `${server.heard.length} slices`);
});

t.test('slow_close: the end comes later', async (t) => {
  const { proxy, dial } = await stage(t);
  const socket = await dial();
  await proxy.addToxic({
    type: 'slow_close',
    name: 'lingers',
    stream: 'upstream',
    toxicity: 1,
    attributes: { delay: 80 },
  });
  const beganMs = performance.now();
  socket.end();
  await ended(socket);
  t.ok(performance.now() - beganMs >= 79);
});

t.test(
  'timeout: nothing passes, then the connection ends; without a time it ends when the toxic is removed',
  async (t) => {
    const { proxy, dial, server, relays } = await stage(t);
    const first = await dial();
    const one = await proxy.addToxic({
      type: 'timeout',
      name: 'silent',
      stream: 'upstream',
      toxicity: 1,
      attributes: { timeout: 30 },
    });
    first.write('never heard');
    await ended(first);
    await one.remove();
    const second = await dial();
    const other = await proxy.addToxic({
      type: 'timeout',
      name: 'silent',
      stream: 'upstream',
      toxicity: 1,
      attributes: { timeout: 0 },
    });
    second.write('never heard');
    while ((await relays.acts.watch(1, 0)).acts.length === 0) await new Promise(setImmediate);
    t.notOk(second.closed);
    await other.remove();
    await ended(second);
    t.strictSame(server.heard, []);
  },
);

t.test('reset_peer: both ends get a reset', async (t) => {
  const { proxy, dial, server } = await stage(t);
  const socket = await dial();
  await say(socket, 'a');
  const reset = once(server.sockets[0] ?? socket, 'error');
  await proxy.addToxic({
    type: 'reset_peer',
    name: 'reset',
    stream: 'downstream',
    toxicity: 1,
    attributes: { timeout: 0 },
  });
  socket.write('b');
  t.equal(await ended(socket), 'ECONNRESET');
  t.match(await reset, [{ code: 'ECONNRESET' }]);
});

t.test('limit_data: so many bytes pass, and not one more', async (t) => {
  const { proxy, dial, server } = await stage(t);
  const socket = await dial();
  await proxy.addToxic({
    type: 'limit_data',
    name: 'cut',
    stream: 'upstream',
    toxicity: 1,
    attributes: { bytes: 7 } as never,
  });
  socket.write('0123456789');
  await ended(socket);
  t.equal(Buffer.concat(server.heard).toString(), '0123456');
});

t.test('a proxy that is disabled refuses, and ends what there is; enabled it is back at the same port', async (t) => {
  const { proxy, dial, upstream } = await stage(t);
  const socket = await dial();
  await say(socket, 'a');
  const { listen } = proxy;
  t.equal((await proxy.update({ enabled: false, listen, upstream })).enabled, false);
  await ended(socket);
  await t.rejects(dial(), { code: 'ECONNREFUSED' });
  await proxy.update({ enabled: true, listen, upstream });
  await say(await dial(), 'b');
});

t.test('the client finds, lists, changes and resets what it has made; what is not there is an error', async (t) => {
  const { toxiproxy, proxy, dial, upstream, url } = await stage(t);
  t.match(await toxiproxy.getVersion(), /"version":"2\./);
  const toxic = await proxy.addToxic({
    type: 'latency',
    name: '',
    stream: 'downstream',
    toxicity: 1,
    attributes: { latency: 5_000, jitter: 0 },
  });
  t.equal(toxic.name, 'latency_downstream');
  t.match(await proxy.getToxic('latency_downstream'), { attributes: { latency: 5_000 }, toxicity: 1 });
  t.match(await toxic.update({ ...toxic.toJson(), attributes: { latency: 1, jitter: 0 } } as never), {
    attributes: { latency: 1 },
  });
  await say(await dial(), 'a');
  t.match(Object.keys(await toxiproxy.getAll()), ['db']);
  t.match(await toxiproxy.get('db'), { upstream, enabled: true });
  await t.rejects(toxiproxy.get('nothing'), /404/);
  await t.rejects(toxiproxy.createProxy({ name: 'db', listen: '127.0.0.1:0', upstream, enabled: true }), /409/);
  await t.rejects(
    proxy.addToxic({ type: 'nonsense' as never, name: 'x', stream: 'upstream', toxicity: 1, attributes: {} as never }),
    /400/,
  );
  await toxiproxy.reset();
  await t.rejects(proxy.getToxic('latency_downstream'), /404/);
  const made = await toxiproxy.populate([{ name: 'two', listen: '127.0.0.1:0', upstream, enabled: true }]);
  t.match(Object.keys(made), ['two']);
  await made.two?.remove();
  await t.rejects(toxiproxy.get('two'), /404/);
  t.equal((await fetch(`${url}/proxies`, { headers: { 'user-agent': 'Mozilla/5.0' } })).status, 403);
  t.equal((await fetch(`${url}/proxies`, { method: 'PUT' })).status, 405);
  t.equal((await fetch(`${url}/proxies`, { method: 'POST', body: 'x'.repeat(bodyBytesMax + 1) })).status, 400);
});

/** By our own verbs: a rule on the leg, with its lease. */
async function withRule(t: Test, toxic: object, more: Partial<FaultRuleInput> = {}, clock: Clock = systemClock) {
  const staged = await stage(t, clock);
  const { relays, server } = staged;
  const listen = { host: '127.0.0.1', port: 0 };
  const upstream = { host: '127.0.0.1', port: server.port };
  const relay = await relays.create({ name: 'leg', listen, upstream, enabled: true, leg: 'database' });
  const rule = faultRule.parse({ id: 'rule', kind: 'transport', leg: 'database', direction: 'both', toxic, ...more });
  const dial = async (): Promise<Socket> => {
    const socket = connect(relay.listen);
    socket.on('error', () => undefined);
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  return { ...staged, relay, rule, dial };
}

t.test('stall: everything waits, and nothing is missing when the rule is removed', async (t) => {
  const { relays, rule, dial, server } = await withRule(t, { type: 'stall', attributes: {} });
  const socket = await dial();
  await relays.addRules([rule]);
  const said = say(socket, 'waits');
  while ((await relays.acts.watch(0, 0)).acts.length === 0) await new Promise(setImmediate);
  t.strictSame(server.heard, []);
  t.match(relays.rows(), [{ acts: 1, holding: 1 }]);
  await relays.removeRules(['rule'], 'removed');
  await said;
  t.strictSame(relays.rows(), []);
});

t.test('a rule whose controller has died ends by itself', async (t) => {
  const clock = new HandClock();
  const toxic = { type: 'stall', attributes: {} };
  const { relays, rule, dial, entries } = await withRule(t, toxic, { leaseMs: 1_000 }, clock);
  const socket = await dial();
  t.strictSame(await relays.addRules([rule]), ['rule']);
  clock.pass(999);
  t.strictSame(await relays.addRules([rule]), [], 'renewed');
  clock.pass(999);
  t.equal(relays.rows().length, 1);
  const said = say(socket, 'goes on');
  clock.pass(1);
  await said;
  t.match(entries.at(-1), { event: 'fault-removed', fault: 'rule', why: 'its lease is over' });
});

t.test('half_open: the other end goes away and nobody hears of it, until the rule is removed', async (t) => {
  const { relays, rule, dial, server } = await withRule(t, { type: 'half_open', attributes: {} });
  const socket = await dial();
  await say(socket, 'a');
  await relays.addRules([rule]);
  server.sockets[0]?.destroy();
  socket.write('into the void');
  while ((await relays.acts.watch(0, 0)).acts.length === 0) await new Promise(setImmediate);
  t.notOk(socket.closed);
  await relays.removeRules(undefined, 'removed');
  t.match(await ended(socket), /ECONNRESET|closed/);
});

t.test('down and flap: connections are refused, and taken again', async (t) => {
  const { relays, rule, dial } = await withRule(t, { type: 'down', attributes: {} });
  await relays.addRules([rule]);
  await t.rejects(dial(), { code: 'ECONNREFUSED' });
  await relays.removeRules(undefined, 'removed');
  await say(await dial(), 'a');
  await relays.addRules([faultRule.parse({ ...rule, toxic: { type: 'flap', attributes: { up: 20, down: 20 } } })]);
  while (((await relays.acts.watch(0, 0)).acts.at(-1)?.seq ?? 0) < 3) await new Promise(setImmediate);
  await relays.removeRules(undefined, 'removed');
  await say(await dial(), 'b');
});

t.test('which connections suffer depends on the seed alone', async (t) => {
  const toxic = { type: 'latency', attributes: { latency: 0 } };
  const { relays, rule, dial } = await withRule(t, toxic, { probability: 0.5, seed: 7 });
  const suffer = async (): Promise<number[]> => {
    await relays.addRules([rule]);
    const after = (await relays.acts.watch(0, 0)).acts.at(-1)?.seq ?? 0;
    for (let left = 12; left > 0; left -= 1) await say(await dial(), 'a');
    await relays.removeRules(undefined, 'removed');
    return (await relays.acts.watch(after, 0)).acts.map(({ connection }) => connection ?? 0);
  };
  const first = await suffer();
  t.ok(first.length > 2 && first.length < 22, `${first.length} directions of 24`);
  const other = await withRule(t, toxic, { probability: 0.5, seed: 7 });
  await other.relays.addRules([other.rule]);
  for (let left = 12; left > 0; left -= 1) await say(await other.dial(), 'a');
  t.strictSame(
    (await other.relays.acts.watch(0, 0)).acts.map(({ connection }) => connection),
    first,
  );
});

t.test('a rule needs a relay on its leg, and a relay does no faults of calls', async (t) => {
  const { relays, rule } = await withRule(t, { type: 'stall', attributes: {} });
  await t.rejects(relays.addRules([{ ...rule, leg: 'link' } as typeof rule]), { code: 'relay-no-leg' });
  const when = { call: 'commit', at: 'before-request' };
  const call = faultRule.parse({ id: 'x', kind: 'call', when, action: { kind: 'cut', leg: 'driver' } });
  await t.rejects(relays.addRules([call]), { code: 'relay-bad-request' });
});

t.test('relays, toxics and what waits have limits', async (t) => {
  const { relays, relay, dial, rule, server } = await withRule(t, { type: 'stall', attributes: {} });
  const listen = { host: '127.0.0.1', port: 0 };
  const facts = { listen, upstream: { host: '127.0.0.1', port: server.port }, enabled: false, leg: undefined };
  for (let at = relays.all.length; at < relaysMax; at += 1) await relays.create({ ...facts, name: `r${at}` });
  await t.rejects(relays.create({ ...facts, name: 'more' }), { code: 'relay-too-many' });
  const toxic = (name: string) =>
    ({ name, toxic: { type: 'stall', attributes: {} }, streams: [], toxicity: 1, seed: 1 }) as const;
  for (let at = 0; at < toxicsMax; at += 1) await relay.add(toxic(`t${at}`));
  await t.rejects(relay.add(toxic('more')), { code: 'relay-too-many' });
  for (let at = 0; at < toxicsMax; at += 1) await relay.remove(`t${at}`);
  await relays.addRules([rule]);
  const socket = await dial();
  const chunk = Buffer.alloc(64 * 1024);
  let isFull = false;
  for (let left = 4_096; left > 0 && !isFull; left -= 1) {
    isFull = !socket.write(chunk) && socket.writableLength > 16 * waitingBytesMax;
    await new Promise(setImmediate);
  }
  t.ok(isFull, 'whoever sends into a stall is not read without end');
});

t.test('a relay takes as many connections as it may, and resets one more', async (t) => {
  const relays = new Relays({ clock: systemClock, audit: { record: () => undefined }, connectionsMax: 1 });
  t.teardown(() => relays.close());
  const upstream = { host: '127.0.0.1', port: (await echo(t)).port };
  const listen = { host: '127.0.0.1', port: 0 };
  const relay = await relays.create({ name: 'one', listen, upstream, enabled: true, leg: undefined });
  const first = connect(relay.listen);
  await say(first, 'a');
  t.equal(await ended(connect(relay.listen)), 'ECONNRESET');
  await say(first, 'b');
  first.destroy();
});
