/** A session that nobody can look into moves when somebody has allowed it, and not before. */
import t from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { node, openWorld } from '../../fixtures/lab/world.js';
import type { SessionRow } from '../../proxy/control/contract.js';

/** The beginning of a TLS handshake, and then silence: all that the proxy can see of TLS from end to end. */
const application = `
  const [host, port] = process.argv[1].split(':');
  require('node:net').connect(Number(port), host).write(Buffer.from('16030100200100001c', 'hex'));
`;

t.test('a session that is opaque is moved by policy only', async (t) => {
  const world = await openWorld({ mover: 'relink' });
  t.teardown(() => world.close());
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const { file, args } = node('-e', application, listen);
  const started = await world.holdfast('run', '--name', 'secret', '--listen', listen, '--', file, ...args);
  t.equal(started.code, 0, started.stderr);
  const sessions = async (): Promise<readonly SessionRow[]> => {
    const { stdout } = await world.holdfast('sessions', '--json');
    return JSON.parse(stdout);
  };
  let before = await sessions();
  while (before[0]?.phase !== 'opaque') before = await sessions();
  t.match(before, [{ movable: 'unknown', reason: 'opaque', detail: 'TLS from end to end', transaction: 'unknown' }]);

  const move = ['secret', '--to', 'node-b', '--mover', 'relink', '--json'];
  const refused = await world.holdfast('move', ...move);
  t.equal(refused.code, 1);
  t.match(JSON.parse(refused.stdout), {
    error: { code: 'session-unknown', message: /opaque, TLS from end to end.*--allow-unknown/, phase: 'preflight' },
  });
  t.match((await sessions())[0], { state: 'bound', address: before[0]?.address }, 'nothing has happened to it');

  const moved = await world.holdfast('move', ...move, '--allow-unknown');
  t.equal(moved.code, 0, moved.stderr);
  t.match(JSON.parse(moved.stdout), { outcome: 'moved', to: { node: 'node-b' } });
  const [after] = await sessions();
  t.match(after, { reason: 'opaque', bytes: before[0]?.bytes });
  t.not(after?.address, before[0]?.address);
});
