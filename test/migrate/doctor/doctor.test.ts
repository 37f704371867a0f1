/** What the doctor says of servers and listeners of all kinds, straight and through a real shim and proxy. */
import t from 'tap';
import { openChain } from '../../../fixtures/captures/chain.js';
import { Program } from '../../../fixtures/lab/program.js';
import type { Request, Verdict } from '../../../fixtures/listener/listener.js';
import { personality23ai } from '../../../fixtures/oracle/wire/personality.js';
import { parseConnectString } from '../../../migrate/doctor/connect-string.js';
import { probe } from '../../../migrate/doctor/probe.js';
import { type Report, reportOn } from '../../../migrate/doctor/report.js';
import { type Address, formatAddress } from '../../../shim/program/address.js';
import { authority, hostCertificate, hostKey } from '../../proxy/backend/conformance/certificates.js';
import { address, forward, listener, server } from '../../proxy/backend/conformance/stand.js';
import { type AcceptFields, accept } from '../../proxy/backend/conformance/transcript.js';
import { personalityUnmarked } from '../../proxy/track/personality.js';

const program = new URL('../../../migrate/cli.js', import.meta.url).pathname;

async function look(at: Address, options: { timeoutMs?: number; ca?: string; tls?: boolean } = {}): Promise<Report> {
  const { timeoutMs = 60_000, ca, tls } = options;
  const target = parseConnectString(`${tls === true ? 'tcps://' : ''}${formatAddress(at)}/orders`);
  if (target === undefined) throw new Error('no connect string');
  return reportOn(await probe(target, { timeoutMs, ...(ca === undefined ? {} : { ca }) }));
}
const here = (report: Report, what: string) => report.rows.find((row) => row.what === what);
/** A listener that accepts with these fields, and then says nothing. */
const accepting = (fields: AcceptFields): Verdict => ({ kind: 'say', bytes: accept(fields) });

t.test('what servers of both kinds negotiate is told, and that their sessions are watched', async (t) => {
  const today = await look(await server(t, personality23ai));
  t.equal(today.verdict, 'watched');
  t.match(here(today, 'protocol'), { here: /version 319/ });
  t.match(here(today, 'login'), { here: /fast authentication/ });
  t.match(here(today, 'responses'), { here: /marked/ });
  t.match(here(today, 'transactions'), { here: /told at the end of each call/ });
  t.match(here(today, 'server'), { here: /Linux.*23ai/ });
  const before = await look(await server(t, personalityUnmarked));
  t.equal(before.verdict, 'watched');
  t.match(here(before, 'login'), { here: /four round trips/ });
  t.match(here(before, 'responses'), { here: /found by their status/ });
});

t.test('REDIRECT and RESEND are followed, and that a driver would follow them too is said', async (t) => {
  const database = await server(t);
  const node = await listener(t, (_request, all) => (all.length < 2 ? { kind: 'resend' } : forward(database)));
  for (const overflow of [false, true]) {
    const scan = await listener(t, () => ({ kind: 'redirect', address: address(node), overflow }));
    const report = await look(scan);
    t.equal(report.address, formatAddress(node));
    t.match(here(report, 'listener'), { level: 'note', here: /1 redirects/, change: /shim/ });
  }
});

t.test('native encryption makes sessions move by policy only, and what to change is said', async (t) => {
  const required = await listener(t, () => accepting({ services: 0x10 }));
  t.match(await look(required), { verdict: 'by-policy' });
  t.match(here(await look(required), 'encryption'), {
    level: 'policy',
    here: /required/,
    change: /SQLNET\.ENCRYPTION_SERVER/,
  });
  const offered = await listener(t, () => accepting({ services: 0x00 }));
  t.match(here(await look(offered), 'encryption'), { level: 'policy', here: /native services/ });
});

t.test(
  'breaks out of band and compression are noted straight to a listener, and gone through shim and proxy',
  async (t) => {
    const database = await server(t);
    const agrees = (request: Request): Verdict => {
      const { options } = request.connect;
      const compression = request.bytes.readUInt16BE(66);
      return (options & 0x0400) !== 0 || compression !== 0 ? accepting({ options, compression }) : forward(database);
    };
    const straight = await listener(t, agrees);
    const report = await look(straight, { timeoutMs: 2_000 }).catch((error: Error) => error);
    t.match(report, { code: 'doctor-timeout' }, 'this one never answers the protocol message');
    const closing = await listener(t, (request) => agrees(request), { hangUpAfter: true });
    const noted = await look(closing);
    t.match(here(noted, 'breaks'), { level: 'note', here: /out of band/, change: /shim/ });
    t.match(here(noted, 'compression'), { level: 'note' });
    const chain = await openChain(formatAddress(straight));
    t.teardown(() => chain.close());
    const through = await look(chain);
    t.match(here(through, 'breaks'), { level: 'good', here: 'in band' });
    t.match(here(through, 'compression'), { level: 'good', here: 'none' });
    t.equal(through.verdict, 'watched');
  },
);

t.test('TLS from here to the database is carried, and moves by policy only', async (t) => {
  const database = await server(t);
  const secured = await listener(t, () => forward(database), { tls: { cert: hostCertificate, key: hostKey } });
  const report = await look({ host: 'localhost', port: secured.port }, { tls: true, ca: authority });
  t.match(here(report, 'encryption'), { level: 'policy', change: /tcps:\/\// });
  await t.rejects(look({ host: 'localhost', port: secured.port }, { tls: true }), { code: 'doctor-unreachable' });
});

t.test('what goes wrong has a code', async (t) => {
  const text = `(DESCRIPTION=(ERR=12514)(TEXT=${'x'.repeat(300)}))`;
  await t.rejects(look(await listener(t, () => ({ kind: 'refuse', text }))), {
    code: 'doctor-refused',
    message: /ORA-12514/,
  });
  await t.rejects(look(await listener(t, () => ({ kind: 'silence' })), { timeoutMs: 100 }), { code: 'doctor-timeout' });
  await t.rejects(look(await listener(t, () => ({ kind: 'hang-up' }))), { code: 'doctor-not-oracle-net' });
  const web = { kind: 'say', bytes: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') } as const;
  await t.rejects(look(await listener(t, () => web), { timeoutMs: 1_000 }), {
    code: /doctor-(not-oracle-net|timeout)/,
  });
  await t.rejects(look(await listener(t, () => ({ kind: 'resend' }))), {
    code: 'doctor-not-oracle-net',
    message: /more than 4/,
  });
  const circle = await listener(t, () => ({ kind: 'redirect', address: address(circle) }));
  await t.rejects(look(circle), { code: 'doctor-not-oracle-net', message: /redirects more than 4/ });
});

t.test('the command prints a table or JSON; exit codes say watched, by policy, failed, wrong use', async (t) => {
  const run = (...args: string[]) =>
    new Program('doctor', { file: process.execPath, args: [program, 'doctor', ...args] }).ended;
  const good = `${formatAddress(await server(t))}/orders`;
  t.match(await run(good), {
    code: 0,
    stdout: /WHAT +HERE +MOVE +MEANING[\s\S]*Sessions that come this way are watched, and move\.\n$/,
  });
  const json = await run(good, '--json');
  t.match(JSON.parse(json.stdout), { verdict: 'watched' });
  const encrypted = await listener(t, () => accepting({ services: 0x10 }));
  t.match(await run(`${formatAddress(encrypted)}/orders`), {
    code: 3,
    stdout: /To change:\n[\s\S]* {2}encryption: set SQLNET[\s\S]*--allow-unknown only\.\n$/,
  });
  t.match(await run('127.0.0.1:1/orders'), { code: 1, stderr: /^holdfast doctor: doctor-unreachable: .*ECONNREFUSED/ });
  t.match(await run('nothing'), { code: 2, stderr: /expected HOST:PORT\/SERVICE/ });
});
