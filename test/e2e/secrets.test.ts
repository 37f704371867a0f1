import { createPrivateKey, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import { directory } from '../errors/parts.js';
import { makeKeys } from '../shim/program/certificates.js';
import { tokenMark } from './planted.js';
import { fileMsMax } from './play.js';

/**
 * A whole run with everything logged that can be, moves and failures included; then every file that it left, all that it
 * printed and every command line is searched for the secrets it ran on, in all the ways in which bytes are written down.
 */
const application = new URL('../../fixtures/apps/insert-rows.js', import.meta.url).pathname;
const shimProgram = new URL('../../shim/main.js', import.meta.url).pathname;
const planted = new URL('planted.js', import.meta.url).href;
const password = `planted-${randomBytes(8).toString('hex')}`;

Object.assign(process.env, {
  HOLDFAST_LOG_LEVEL: 'trace',
  NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import=${planted}`,
  DB_PASSWORD: password,
});

/** A secret as text, hexadecimal, base64 at each alignment, and as JSON shows bytes. */
function formsOf(secret: Buffer): readonly string[] {
  const base64 = [0, 1, 2].flatMap((shift) => {
    // What does not depend on the neighbours: the outermost characters do.
    const text = Buffer.concat([Buffer.alloc(shift), secret])
      .toString('base64')
      .replace(/=+$/, '');
    const core = text.slice(shift === 0 ? 0 : 4, -3);
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const hex = secret.toString('hex');
  return [secret.toString('latin1'), hex, hex.toUpperCase(), ...base64, secret.join(','), secret.join(', ')];
}

/** Where one of the secrets stands; the name of the secret, and the place. */
function finds(secrets: ReadonlyMap<string, Buffer>, texts: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  for (const [name, secret] of secrets) {
    const forms = formsOf(secret);
    for (const [place, text] of texts) if (forms.some((form) => text.includes(form))) found.push(`${name} in ${place}`);
  }
  return found;
}

/** All files of the run but those that are there to hold secrets, and the command lines of all processes. */
function leftBy(world: World): Map<string, string> {
  const texts = new Map<string, string>();
  for (const name of readdirSync(world.directory, { recursive: true, encoding: 'utf8' })) {
    const file = join(world.directory, name);
    if (['secret', 'users'].includes(name) || !statSync(file).isFile()) continue;
    texts.set(name, readFileSync(file, 'latin1'));
  }
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      texts.set(`command line of ${pid}`, readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    } catch {
      // It has ended meanwhile.
    }
  }
  return texts;
}

/** Starts an application, moves it in its transaction, asks everything, and makes what can be made fail fail. */
async function wholeRun(t: Test, world: World, stranger: readonly string[]): Promise<void> {
  const { user, service } = account;
  const app = node(application, `${world.shimAddress}/${service}`, user, '-', '1000000', '50');
  const run = ['--name', 'orders', '--listen', world.shimAddress, '--env', 'DB_PASSWORD', '--', app.file, ...app.args];
  t.match(await world.holdfast('run', ...run), { code: 0 });
  await until(() => /inserted 200/.test(world.output('orders')));
  const outputs: string[] = [];
  const ask = async (...words: [string, ...string[]]) => {
    const { stdout, stderr, code } = await world.holdfast(...words);
    outputs.push(stdout, stderr);
    return { stdout, code };
  };
  for (const list of ['sessions', 'workloads', 'nodes', 'holds']) t.match(await ask(list, '--json'), { code: 0 });
  const moved = await ask('move', 'orders', '--to', 'node-b', '--mover', 'relink', '--json');
  t.match(JSON.parse(moved.stdout), { outcome: 'moved', replayedBytes: {} });
  t.match(await ask('move', 'orders', '--to', 'node-b', '--mover', 'relink', '--json'), { code: 1 });
  t.match(await ask('move', 'nobody', '--to', 'node-b', '--json'), { code: 1 });

  const wrong = { user, password: `${password}-but-wrong`, connectString: `${world.shimAddress}/${service}` };
  await t.rejects(oracledb.getConnection(wrong), { message: /ORA-01017/ });
  const lost = world.start('stranger', 'center', node(shimProgram, ...stranger, '--proxy', world.proxyAddress));
  await lost.printed(/no link to the proxy|refused the link/);
  await lost.stop();
  t.match(await ask('stop', 'orders', '--json'), { code: 0 });
  writeFileSync(join(world.directory, 'outputs.log'), outputs.join('\n'));
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not happen within a minute');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

t.setTimeout(fileMsMax);

t.test('the search finds a secret in every form in which it could be written', async (t) => {
  const secret = Buffer.from('a secret of some length');
  const shown = ['latin1', 'hex', 'base64', 'base64url'] as const;
  for (const encoding of shown) {
    for (const before of ['', 'x', 'xy']) {
      const text = Buffer.concat([Buffer.from(before), secret, Buffer.from('behind')]).toString(encoding);
      t.strictSame(
        finds(new Map([['it', secret]]), new Map([['text', text]])),
        ['it in text'],
        `${encoding} ${before}`,
      );
    }
  }
  t.same(finds(new Map([['it', secret]]), new Map([['json', JSON.stringify({ secret })]])), ['it in json']);
  t.same(finds(new Map([['it', secret]]), new Map([['text', 'nothing of the kind']])), []);
});

t.test('with a shared secret: neither it, nor a token, nor a password is written or shown anywhere', async (t) => {
  const secret = `planted-${randomBytes(24).toString('hex')}`;
  const files = directory(t);
  for (const [name, text] of [
    ['secret', secret],
    ['other', `other-${secret}`],
  ] as const) {
    writeFileSync(join(files, name), text, { mode: 0o600 });
  }
  const world = await openWorld({
    mover: 'relink',
    password,
    protection: () => ['--secret-file', join(files, 'secret')],
  });
  t.teardown(() => world.close());
  const stranger = ['--workload', 'orders', '--listen', '127.0.0.1:0', '--secret-file', join(files, 'other')];
  await wholeRun(t, world, stranger);
  const secrets = new Map([
    ['the shared secret', Buffer.from(secret)],
    ['the password', Buffer.from(password)],
    ['a token', Buffer.from(tokenMark)],
  ]);
  const texts = leftBy(world);
  t.ok(texts.size > 20, `${texts.size} texts searched`);
  t.match(texts.get('holdfast-proxy.log'), /"msg":"bound"/);
  t.match(texts.get('audit.log'), /"event":"bind"(.|\n)*"event":"move"/);
  t.strictSame(finds(secrets, texts), []);
});

t.test(
  'with certificates: a whole move works, and no key, token or password is written or shown anywhere',
  async (t) => {
    const parts = ['proxy', 'agent:node-a', 'agent:node-b', 'operator:alice', 'workload:orders', 'workload:billing'];
    const keys = await makeKeys(t, ...parts);
    const workloads = directory(t);
    renameSync(keys.file('workload:orders'), join(workloads, 'workload-orders.pem'));
    const more = (who: string) => (who.startsWith('agent') ? ['--workload-keys', workloads] : []);
    const protection = (who: string) => [...keys.flags(who === 'operator' ? 'operator:alice' : who), ...more(who)];
    const world = await openWorld({ mover: 'relink', password, protection });
    t.teardown(() => world.close());
    const stranger = ['--workload', 'billing', '--listen', '127.0.0.1:0'];
    const foreign = await makeKeys(t, 'workload:billing');
    await wholeRun(t, world, [...stranger, '--tls-cert', foreign.file('workload:billing'), '--tls-ca', keys.ca]);

    const { programs } = world;
    const cluster = world.files.slice(0, 2);
    const asWorkload = node(programs.holdfast, 'stop', 'orders', ...cluster, ...keys.flags('workload:billing'));
    const refused = await world.start('thief', 'center', asWorkload).ended;
    t.match(refused, {
      code: 1,
      stderr: /not-authorised: .*workload:billing may not call workloads of holdfast-agent/,
    });

    const secrets = new Map([
      ['the password', Buffer.from(password)],
      ['a token', Buffer.from(tokenMark)],
    ]);
    for (const who of parts) {
      const file = who === 'workload:orders' ? join(workloads, 'workload-orders.pem') : keys.file(who);
      const { d } = createPrivateKey(readFileSync(file)).export({ format: 'jwk' });
      secrets.set(`the key of ${who}`, Buffer.from(d ?? '', 'base64url'));
    }
    const texts = leftBy(world);
    t.match(texts.get('holdfast-proxy.log'), /"msg":"bound"/);
    t.match(texts.get('audit.log'), /"event":"bind"(.|\n)*"event":"move"/);
    t.strictSame(finds(secrets, texts), []);
  },
);
