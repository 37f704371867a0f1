import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { startAlerts } from '../../../migrate/alerts/options.js';
import { alertRules } from '../../../migrate/alerts/rules.js';
import { serveAlerts } from '../../../migrate/alerts/server.js';
import { AlertService } from '../../../migrate/alerts/service.js';
import type { EvacuationRecord } from '../../../migrate/fleet/evacuation.js';
import type { EvacuateRequest } from '../../../migrate/fleet/messages.js';
import { alertBytesMax } from '../../../migrate/limits.js';
import type { Node } from '../../../migrate/node.js';
import { Store } from '../../../migrate/workload/store.js';
import { makeKeys } from '../../shim/program/certificates.js';
import { alertmanagerMessage, grafanaMessage, type TestAlert } from './messages.js';

const good = 'a-token-of-this-test-only';
const labels = { alertname: 'DiskFailing', severity: 'page', instance: '127.0.0.2:9100' };
const disk: TestAlert = { labels, fingerprint: 'c0ffee' };
const none: EvacuationRecord = {
  ...{ node: 'node-a', state: 'done', startedAt: '', ms: 1, by: { user: '', host: '' }, mover: 'criu' },
  ...{ allowUnknown: false, concurrency: 1, targets: [], moves: [], unplaced: [] },
};

function nodeOf(t: Test): Node {
  const address = (host: string) => ({ host, port: 1 });
  return {
    name: 'node-b',
    cluster: {
      nodes: { 'node-a': { agent: address('127.0.0.2') }, 'node-b': { agent: address('127.0.0.3') } },
      proxy: { data: address('127.0.0.1'), control: address('127.0.0.1') },
    },
    security: { kind: 'plaintext' },
    securitySettings: {
      ...{ secretFile: undefined, tlsCert: undefined, tlsKey: undefined, tlsCa: undefined },
      insecurePlaintext: true,
    },
    store: new Store(t.testdir()),
    tools: { criu: '/nonexistent', runc: '/nonexistent/runc', podman: '/nonexistent/runc' },
    log: pino({ level: 'silent' }),
    busy: new Set(),
    moves: new Map(),
  };
}

function rulesWith(changes: object) {
  return alertRules.parse({
    rules: [{ name: 'disk', match: { alertname: 'DiskFailing' }, do: 'evacuate', delay: '0', ...changes }],
  });
}

interface Asked {
  readonly status: number;
  readonly body: { readonly alerts?: readonly object[]; readonly error?: { readonly code: string } };
}

async function post(port: number, body: string, options: https.RequestOptions = {}): Promise<Asked> {
  const headers = { authorization: `Bearer ${good}`, 'content-type': 'application/json' };
  const wanted = { host: '127.0.0.1', port, path: '/alerts', method: 'POST', headers, ...options };
  const request = options.ca === undefined ? http.request(wanted) : https.request(wanted);
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return { status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) };
}

/** A service with its server; evacuations are asked for here and end when the test says so. */
async function served(t: Test, changes: object, node = nodeOf(t)) {
  const asked: { node: string; request: EvacuateRequest; end: () => void }[] = [];
  const heard = { next: () => {} };
  const service = new AlertService(node, rulesWith(changes), (emptied, request) => {
    return new Promise((resolve) => {
      asked.push({ node: emptied, request, end: () => resolve(none) });
      heard.next();
    });
  });
  const listen = { host: '127.0.0.1', port: 0 };
  const server = await serveAlerts({ listen, token: () => good, receive: service.receive, log: node.log });
  t.teardown(async () => {
    service.close();
    await server.close();
  });
  const evacuations = async (number: number) => {
    while (asked.length < number) {
      await new Promise<void>((resolve) => {
        heard.next = resolve;
      });
    }
    return asked;
  };
  return {
    asked,
    evacuations,
    send: (body: object | string) => post(server.port, typeof body === 'string' ? body : JSON.stringify(body)),
    port: server.port,
  };
}

for (const [sender, message] of Object.entries({ Alertmanager: alertmanagerMessage, Grafana: grafanaMessage })) {
  t.test(`an alert of ${sender} empties the node it names, once`, async (t) => {
    const { send, evacuations } = await served(t, { to: ['node-b'], concurrency: 3, 'allow-unknown': true });
    const result = { fingerprint: 'c0ffee', rule: 'disk', node: 'node-a' };
    t.same(await send(message(disk)), { status: 200, body: { alerts: [{ ...result, result: 'evacuate' }] } });
    const [asked] = await evacuations(1);
    t.match(asked, {
      node: 'node-a',
      request: { to: ['node-b'], concurrency: 3, allowUnknown: true, dryRun: false, by: { user: 'alert disk' } },
    });
    t.same(await send(message(disk)), { status: 200, body: { alerts: [{ ...result, result: 'duplicate' }] } });
  });
}

t.test('an alert that is resolved before it is due empties nothing, also over a restart of the agent', async (t) => {
  const node = nodeOf(t);
  const first = await served(t, { delay: '1h' }, node);
  await first.send(alertmanagerMessage(disk));
  const second = await served(t, { delay: '1h' }, node);
  t.match(await second.send(alertmanagerMessage(disk)), { body: { alerts: [{ result: 'duplicate' }] } });
  const resolved = alertmanagerMessage({ ...disk, status: 'resolved' });
  t.match(await second.send(resolved), { body: { alerts: [{ result: 'cancelled' }] } });
  const third = await served(t, { delay: '1h' }, node);
  t.match(await third.send(resolved), { body: { alerts: [{ result: 'not-known' }] } });
  t.same([...first.asked, ...second.asked, ...third.asked], []);
});

t.test('an evacuation that has ended makes place for the next', async (t) => {
  const { send, evacuations, asked } = await served(t, {});
  const other = { labels: { ...labels, instance: 'node-b' }, fingerprint: 'decade' };
  await send(alertmanagerMessage(disk, other));
  const [first] = await evacuations(1);
  t.equal(asked.length, 1, 'one at once');
  first?.end();
  t.match(await evacuations(2), [{ node: 'node-a' }, { node: 'node-b' }]);
});

t.test('who does not know the token is refused, and nothing he sends is looked at', async (t) => {
  const { port, asked } = await served(t, {});
  const body = JSON.stringify(alertmanagerMessage(disk));
  for (const authorization of [undefined, 'Bearer', `Bearer ${good}x`, `Bearer ${good.slice(1)}`, `Basic ${good}`]) {
    const headers = authorization === undefined ? {} : { authorization };
    t.match(await post(port, body, { headers }), { status: 401, body: { error: { code: 'not-authorised' } } });
  }
  t.same(asked, []);
});

t.test('what is no message is refused for good', async (t) => {
  const { send, port } = await served(t, {});
  t.match(await send('{'), { status: 400, body: { error: { code: 'bad-alerts' } } });
  t.match(await send({ ...alertmanagerMessage(disk), alerts: [{ status: 'firing' }] }), { status: 400 });
  t.match(await send('x'.repeat(alertBytesMax + 1)), { status: 413, body: { error: { code: 'too-large' } } });
  t.match(await post(port, '', { path: '/other' }), { status: 404 });
  t.match(await post(port, '', { method: 'PUT' }), { status: 405 });
});

t.test('what cannot be taken now may come again', async (t) => {
  const listen = { host: '127.0.0.1', port: 0 };
  const receive = () => {
    throw new Error('the disk is full');
  };
  const server = await serveAlerts({ listen, token: () => good, receive, log: pino({ level: 'silent' }) });
  t.teardown(() => server.close());
  t.match(await post(server.port, JSON.stringify(alertmanagerMessage(disk))), { status: 500 });
});

t.test('options that would show the token to the network, or leave it out, are refused', async (t) => {
  const node = nodeOf(t);
  const directory = t.testdir({
    rules: 'rules: [{ name: told, match: { a: b }, do: notify }]',
    token: good,
    short: 'x',
  });
  const file = (name: string) => join(directory, name);
  for (const name of ['token', 'short']) chmodSync(file(name), 0o600);
  const settings = {
    ...{ alertsListen: { host: '127.0.0.1', port: 0 }, alertsRules: file('rules'), alertsTokenFile: file('token') },
    ...{ alertsTlsCert: undefined, alertsTlsKey: undefined, insecurePlaintext: false },
  };
  t.equal(await startAlerts(node, { ...settings, alertsListen: undefined }), undefined);
  const refused = (changes: object, message: RegExp) =>
    t.rejects(startAlerts(node, { ...settings, ...changes }), { code: 'bad-option', message });
  await refused({ alertsTokenFile: undefined }, /--alerts-token-file/);
  await refused({ alertsListen: { host: '0.0.0.0', port: 0 } }, /readable on the network/);
  await refused({ alertsTokenFile: file('short') }, /shorter than 16/);
  chmodSync(file('token'), 0o644);
  await refused({}, /chmod 600/);
  chmodSync(file('token'), 0o600);
  await t.rejects(startAlerts(node, { ...settings, alertsRules: file('token') }), { code: 'bad-file' });
  const server = await startAlerts(node, settings);
  t.teardown(() => server?.close());
  t.match(await post(server?.port ?? 0, JSON.stringify(alertmanagerMessage(disk))), { status: 200 });
  writeFileSync(file('token'), `${good}-2\n`);
  t.match(await post(server?.port ?? 0, JSON.stringify(alertmanagerMessage(disk))), { status: 401 }, 'read each time');
});

t.test('over TLS, with a certificate of its own', async (t) => {
  const keys = await makeKeys(t, 'agent:node-b');
  const node = nodeOf(t);
  const directory = t.testdir({ rules: 'rules: [{ name: told, match: { team: "*" }, do: notify }]', token: good });
  chmodSync(join(directory, 'token'), 0o600);
  const server = await startAlerts(node, {
    alertsListen: { host: '127.0.0.1', port: 0 },
    alertsRules: join(directory, 'rules'),
    alertsTokenFile: join(directory, 'token'),
    alertsTlsCert: keys.file('agent:node-b'),
    alertsTlsKey: undefined,
    insecurePlaintext: false,
  });
  t.teardown(() => server?.close());
  const body = JSON.stringify(grafanaMessage({ labels: { team: 'dba' }, fingerprint: 'beef' }));
  const trust = { ca: readFileSync(keys.ca), checkServerIdentity: () => undefined };
  t.match(await post(server?.port ?? 0, body, trust), { status: 200, body: { alerts: [{ result: 'notify' }] } });
});
