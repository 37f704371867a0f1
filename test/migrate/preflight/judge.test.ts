import t from 'tap';
import { ghostBytesMax } from '../../../migrate/limits.js';
import type { FileFacts, HostFacts, TreeFacts } from '../../../migrate/preflight/facts.js';
import {
  judgeCarrier,
  judgeFiles,
  judgeHosts,
  judgeParts,
  judgeTree,
  judgeVersions,
} from '../../../migrate/preflight/judge.js';
import { host, inShort, target, tree } from './facts.js';

const between = (source: Partial<HostFacts>, there: Partial<HostFacts>, workload: Partial<TreeFacts> = {}) =>
  inShort(
    judgeHosts({ ...host, ...source }, { ...target, host: { ...host, ...there } }, 'node-b', { ...tree, ...workload }),
  );

t.test('hosts that are alike give nothing to say', async (t) => {
  t.same(between({}, {}), []);
  t.same(judgeTree(tree), []);
  t.same(judgeCarrier({ missing: 'criu-missing' }, host, 'target', 'node-b'), []);
});

t.test('another architecture blocks, and then nobody asks for features of the processor', async (t) => {
  t.same(between({}, { architecture: 'arm64', processor: [] }), ['blocks architecture-differs']);
});

t.test('a processor may have more than the source, and not less', async (t) => {
  t.same(between({}, { processor: [...host.processor, 'avx512f'] }), []);
  t.same(between({}, { processor: ['sse2', 'avx'] }), ['blocks processor-lacks']);
  const many = Array.from({ length: 20 }, (_each, index) => `avx_${index}`);
  const [finding] = judgeHosts({ ...host, processor: many }, target, 'node-b', tree);
  t.match(finding?.found, /avx_0, .*avx_7 and 12 more$/);
});

t.test('an older kernel at the target warns; its patch level does not matter', async (t) => {
  t.same(between({}, { kernel: '6.5.0' }), ['warns kernel-older']);
  t.same(between({}, { kernel: '5.15.0' }), ['warns kernel-older']);
  t.same(between({}, { kernel: '6.8.0-31-generic' }), []);
  t.same(between({}, { kernel: '6.11.0' }), []);
  t.same(between({ kernel: '5.15.0' }, { kernel: '6.1.0' }), []);
});

t.test('memory, processes and room for the image are measured by the workload', async (t) => {
  const bytes = tree.memoryBytes;
  t.same(between({}, { memoryFreeBytes: bytes - 1 }), ['blocks target-memory']);
  t.same(between({}, { memoryFreeBytes: bytes }), []);
  t.same(between({}, { processesFree: 19 }), ['blocks target-processes']);
  t.same(between({}, { processesFree: 20 }), []);
  t.same(between({ imageFreeBytes: bytes }, {}), ['blocks image-space'], 'an image is a little larger');
  t.same(between({}, { imageFreeBytes: bytes }), ['blocks image-space']);
});

t.test('ports in use at the target and a CRIU that is missing block', async (t) => {
  const taken = { ...target, portsTaken: [{ host: '127.0.0.1', port: 1521 }] };
  t.match(judgeHosts(host, taken, 'node-b', tree), [
    { code: 'port-taken', severity: 'blocks', found: /127\.0\.0\.1:1521/ },
  ]);
  t.match(
    judgeCarrier({ missing: 'criu-missing' }, { ...host, carrier: { missing: 'CRIU needs root' } }, 'source', 'node-a'),
    [{ code: 'criu-missing', place: 'source', found: 'no CRIU at node-a: CRIU needs root' }],
  );
});

t.test('whatever CRIU cannot take along is named', async (t) => {
  const judge = (changes: Partial<TreeFacts>) => inShort(judgeTree({ ...tree, ...changes }));
  t.same(judge({ foreignConnections: ['10.0.0.1:1 to 10.0.0.2:2'] }), ['blocks foreign-connection']);
  t.same(judge({ foreignSockets: ['/run/bus (u_str)'] }), ['blocks foreign-socket']);
  t.same(judge({ foreignSockets: undefined }), ['warns sockets-unseen']);
  t.same(judge({ boundAddresses: ['10.0.0.2:53'] }), ['warns address-bound']);
  t.same(judge({ unsupported: ['anon_inode:[io_uring]', 'anon_inode:[io_uring]'] }), ['blocks descriptor-unsupported']);
  t.same(judge({ terminals: ['/dev/pts/0'] }), ['blocks terminal-attached']);
  t.same(judge({ hasSharedMemory: true }), ['blocks memory-shared']);
  t.same(judge({ traced: [7] }), ['blocks being-traced']);
  t.same(judge({ deleted: [{ path: '/tmp/x', bytes: ghostBytesMax }] }), []);
  t.same(judge({ deleted: [{ path: '/tmp/x', bytes: ghostBytesMax + 1 }] }), ['blocks deleted-file-large']);
  t.same(judge({ filesLeftOut: 1 }), ['warns files-unseen']);
});

const file = (bytes: number, changes: Partial<FileFacts> = {}): FileFacts => ({
  path: '/lib/x',
  kind: 'file',
  bytes,
  written: false,
  ...changes,
});
const compare = (before: FileFacts, there: FileFacts, after: FileFacts = before) =>
  inShort(judgeFiles([before], [there], [after], 'node-b'));

t.test('a file must be at the target, of the same kind and size', async (t) => {
  t.same(compare(file(5), file(5)), []);
  t.same(compare(file(5), file(6)), ['blocks file-differs']);
  t.same(compare(file(5), file(0, { kind: 'missing' })), ['blocks file-missing']);
  t.same(compare(file(0, { kind: 'directory' }), file(0)), ['blocks file-differs']);
  t.same(compare(file(0, { kind: 'directory' }), file(0, { kind: 'directory' })), []);
});

t.test('a log that grows while one looks is the same file, and a file of a moment is none', async (t) => {
  t.same(compare(file(5, { written: true }), file(7), file(8)), []);
  t.same(compare(file(5, { written: true }), file(9), file(8)), ['blocks file-differs']);
  t.same(compare(file(5), file(7), file(8)), ['blocks file-differs'], 'what nobody writes does not grow');
  t.same(compare(file(5), file(0, { kind: 'missing' }), file(0, { kind: 'missing' })), []);
});

t.test('parts of more than one version are named', async (t) => {
  t.same(judgeVersions({ shim: '1.0.0', proxy: '1.0.0' }), []);
  t.match(judgeVersions({ shim: '1.0.0', proxy: '1.1.0' }), [
    { severity: 'warns', code: 'versions-differ', found: 'shim 1.0.0, proxy 1.1.0' },
  ]);
});

t.test('what a container consists of must be at the target: there, of its kind, and as large', async (t) => {
  const part = { path: '/usr/bin/node', kind: 'file', bytes: 10, written: false } as const;
  t.same(judgeParts([part], [part], 'node-b'), []);
  for (const theirs of [[], [{ ...part, kind: 'missing' as const, bytes: 0 }], [{ ...part, bytes: 11 }]])
    t.match(judgeParts([part], theirs, 'node-b'), [{ code: 'bundle-differs', severity: 'blocks', found: /node-b/ }]);
});
