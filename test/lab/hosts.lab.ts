import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import t from 'tap';
import { type LabHost, openLab } from '../../fixtures/lab/hosts.js';
import { Program } from '../../fixtures/lab/program.js';

const node = (host: LabHost, script: string) => host.command(process.execPath, ['-e', script]);

t.test('hosts have different addresses and reach each other, not the machine', async (t) => {
  const lab = await openLab(['node-a', 'node-b']);
  t.teardown(() => lab.close());
  const [a, b] = [...lab.nodes.values()];
  if (a === undefined || b === undefined) throw new Error('two nodes were asked for');
  t.equal(new Set([a.address, b.address, lab.center.address]).size, 3);
  const listen = `require('net').createServer((s) => s.end(s.remoteAddress)).listen(5000, '${b.address}', () => console.log('ready'))`;
  const server = new Program('server', node(b, listen));
  await server.printed(/ready/);
  const connect = `require('net').connect(5000, '${b.address}').on('data', (d) => console.log('saw ' + d))`;
  for (const from of [a, lab.center]) {
    const client = new Program('client', node(from, connect));
    t.match(await client.ended, { code: 0, stdout: `saw ${from.address}\n` });
  }
  const outside = net.createServer();
  await new Promise<void>((resolve) => outside.listen(0, '0.0.0.0', resolve));
  t.teardown(() => outside.close());
  const address = outside.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const reach = new Program(
    'reach',
    node(a, `require('net').connect(${port}, '127.0.0.1').on('error', (e) => console.log(e.code))`),
  );
  t.match(await reach.ended, { stdout: 'ECONNREFUSED\n' });
});

t.test('two labs at once do not see each other', async (t) => {
  const labs = [await openLab(['node-a']), await openLab(['node-a'])];
  for (const lab of labs) t.teardown(() => lab.close());
  const names = readdirSync('/run/netns').filter((name) => name.startsWith(`holdfast-${process.pid}-`));
  t.equal(names.length, 4);
});

t.test('closing ends what runs in the hosts, and leaves nothing behind', async (t) => {
  const lab = await openLab(['node-a']);
  const program = new Program('sleeper', node(lab.center, "console.log('ready'); setInterval(() => {}, 1000)"));
  await program.printed(/ready/);
  await lab.close();
  t.equal((await program.ended).code, null);
  t.same(
    readdirSync('/run/netns').filter((name) => name.startsWith(`holdfast-${process.pid}-`)),
    [],
  );
});

t.test('a lab clears up after one whose owner died', async (t) => {
  const stale = 'holdfast-4194305-1-1-center';
  execFileSync('ip', ['netns', 'add', stale]);
  const lab = await openLab([]);
  t.teardown(() => lab.close());
  t.notOk(readdirSync('/run/netns').includes(stale));
});
