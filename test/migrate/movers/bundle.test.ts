import t from 'tap';
import {
  type BundleConfig,
  bundleConfig,
  checkBundle,
  hostPath,
  inside,
  partsOf,
  withShim,
} from '../../../migrate/movers/bundle.js';

/** As container engines write it, with less in it. */
const config = bundleConfig.parse({
  ociVersion: '1.0.2',
  process: { user: { uid: 0, gid: 0 }, args: ['app'], env: ['PATH=/bin', 'ZONE=a'], cwd: '/srv' },
  root: { path: 'rootfs', readonly: true },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/data', type: 'bind', source: 'data', options: ['rbind', 'rw'] },
    { destination: '/data/cache', type: 'tmpfs', source: 'tmpfs' },
    { destination: '/etc/hosts', source: '/srv/hosts', options: ['bind', 'ro'] },
  ],
  linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }], seccomp: { defaultAction: 'SCMP_ACT_ALLOW' } },
});
/** What root usually may. */
const all = 0x1ffffffffffn;
const outside = { workload: '/state/web/container', node: '/usr/bin/node', package: '/opt/holdfast', criuFile: '/c' };
const derived = withShim(config, '/srv/web', ['sh', 'init.sh'], { ZONE: 'b' }, outside);

t.test('a container that could not be moved is refused when it is started, with all the reasons', async (t) => {
  t.doesNotThrow(() => checkBundle(config, '/srv/web', all));
  const refused = (changes: Partial<BundleConfig>, message: RegExp) =>
    t.throws(() => checkBundle({ ...config, ...changes }, '/srv/web', all), { code: 'bundle-unfit', message });
  const namespaces = (...all: { type: string; path?: string }[]) => ({ linux: { namespaces: all } });
  const own = [{ type: 'pid' }, { type: 'mount' }];
  refused(namespaces({ type: 'mount' }), /needs pid and mount/);
  refused({ linux: {} }, /needs pid and mount/);
  refused(namespaces(...own, { type: 'network' }), /network namespace/);
  refused(namespaces(...own, { type: 'cgroup' }, { type: 'user' }), /cgroup namespace.*; .*user namespace/);
  refused(namespaces(...own, { type: 'ipc', path: '/proc/1/ns/ipc' }), /ipc namespace is one that exists/);
  refused({ process: { ...config.process, terminal: true } }, /terminal/);
  refused({ mounts: [{ destination: '/holdfast/x' }] }, /\/holdfast\/x/);
  t.doesNotThrow(() => checkBundle({ ...config, mounts: [{ destination: '/holdfast2' }] }, '/srv/web', all));
});

t.test('a user other than root needs an agent that may read his limits', async (t) => {
  const user = { ...config, process: { ...config.process, user: { uid: 1_000, gid: 1_000 } } };
  t.doesNotThrow(() => checkBundle(user, '/srv/web', all));
  const without = all & ~(1n << 24n);
  t.throws(() => checkBundle(user, '/srv/web', without), { code: 'bundle-unfit', message: /CAP_SYS_RESOURCE/ });
  t.doesNotThrow(() => checkBundle(config, '/srv/web', without));
});

t.test('the shim comes in front of the application, and what is not about that stays', async (t) => {
  t.strictSame(derived.process.args, ['sh', 'init.sh']);
  t.strictSame(derived.process.env, ['PATH=/bin', 'ZONE=a', 'ZONE=b', 'UV_USE_IO_URING=0']);
  t.equal(derived.process.cwd, inside.workload);
  t.strictSame(derived.root, { path: '/srv/web/rootfs', readonly: true });
  t.strictSame(derived.linux, config.linux);
  t.equal(derived.ociVersion, '1.0.2');
  t.strictSame(derived.annotations, { 'org.criu.config': '/c' });
});

t.test('the target must have the root, and what is mounted from the node', async (t) => {
  const own = ['/usr/bin/node', '/opt/holdfast'];
  t.strictSame(partsOf(derived), ['/srv/web/rootfs', '/srv/web/data', '/srv/hosts', ...own]);
});

t.test('a file of the container is found at the node, whatever it is mounted from', async (t) => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['/lib/libc.so', '/srv/web/rootfs/lib/libc.so'],
    ['/data/a/b', '/srv/web/data/a/b'],
    ['/data', '/srv/web/data'],
    ['/database', '/srv/web/rootfs/database'],
    ['/data/cache/x', undefined],
    ['/proc/1/maps', undefined],
    ['/etc/hosts', '/srv/hosts'],
    ['/holdfast/node', '/usr/bin/node'],
    ['/holdfast/workload/app.log', '/state/web/container/app.log'],
  ];
  for (const [path, found] of cases) t.equal(hostPath(derived, path), found, path);
});
