import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hostPath, partsOf } from '../../../migrate/movers/bundle.js';
import { limitWords, mountsOf, mountWords, variableWords } from '../../../migrate/movers/podman-image.js';

const outside = {
  workload: '/var/lib/holdfast/workloads/web/container',
  node: '/usr/bin/node',
  package: '/opt/holdfast',
  criuFile: '/var/lib/holdfast/workloads/web/criu.conf',
};

t.test('mounts are words of podman, and are noted for preflight', (t) => {
  const directory = t.testdir({});
  const words = mountWords(directory, ['/srv/web:/data', '/etc/web:/etc/web:ro'], outside);
  t.strictSame(words, [
    ...['--volume', '/srv/web:/data:rw', '--volume', '/etc/web:/etc/web:ro'],
    ...['--volume', '/usr/bin/node:/holdfast/node:ro', '--volume', '/opt/holdfast:/holdfast/package:ro'],
    ...['--volume', '/var/lib/holdfast/workloads/web/container:/holdfast/workload:rw'],
  ]);
  const mounts = mountsOf(directory);
  t.strictSame(
    partsOf({ mounts }),
    ['/srv/web', '/etc/web', '/usr/bin/node', '/opt/holdfast'],
    'not its own directory',
  );
  t.equal(hostPath({ mounts }, '/data/orders/7'), '/srv/web/orders/7');
  t.equal(hostPath({ mounts }, '/database'), undefined, 'it is in the image, or goes along');
  t.end();
});

t.test('volumes that are none are refused', (t) => {
  for (const volume of ['', '/srv', 'srv:/data', '/srv:data', '/srv:/data:rwx', '/srv:/a:/b:ro', '/srv:/holdfast/node'])
    t.throws(() => mountWords(t.testdir({}), [volume], outside), { code: 'bundle-unfit' }, volume);
  t.end();
});

t.test('variables are in a file that nobody else can read', (t) => {
  const directory = t.testdir({});
  t.strictSame(variableWords(directory, { PASSWORD: 'a b=c#d' }), ['--env-file', join(directory, 'env')]);
  t.equal(readFileSync(join(directory, 'env'), 'utf8'), 'PASSWORD=a b=c#d\nUV_USE_IO_URING=0\n');
  t.equal(statSync(join(directory, 'env')).mode & 0o777, 0o600);
  t.throws(() => variableWords(directory, { KEY: 'one\ntwo' }), { code: 'start-failed', message: /KEY/ });
  t.end();
});

t.test('limits are asked for where the agent may not raise its own', (t) => {
  const words = limitWords();
  if (words.length === 0) t.pass('it may');
  else t.match(words.join(' '), /^--ulimit nofile=(\d+):\1 --ulimit nproc=(\d+):\2$/);
  t.end();
});
