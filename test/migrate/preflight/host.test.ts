import { tmpdir } from 'node:os';
import t from 'tap';
import { checkCriu } from '../../../migrate/movers/criu.js';
import { availableBytes, hostFacts, processorFeatures } from '../../../migrate/preflight/host.js';

t.test('features that programs use are taken, what only the kernel cares for is not', async (t) => {
  const x86 = 'processor\t: 0\nflags\t\t: fpu sse2 avx512f hypervisor ibrs constant_tsc sha_ni\nbugs\t\t: spectre_v1\n';
  t.same(processorFeatures(x86), ['sse2', 'avx512f', 'sha_ni']);
  t.same(processorFeatures('Features\t: fp asimd crc32 atomics cpuid\n'), ['fp', 'asimd', 'crc32', 'atomics']);
  t.same(processorFeatures(''), []);
});

t.test('available memory is in kB; a kernel that does not say has no limit', async (t) => {
  t.equal(availableBytes('MemTotal:  100 kB\nMemAvailable:       2048 kB\n'), 2 * 2 ** 20);
  t.equal(availableBytes(''), Number.MAX_SAFE_INTEGER);
});

t.test('this host has something of everything', async (t) => {
  const facts = await hostFacts(checkCriu({ criu: '/nonexistent/criu' }), tmpdir());
  t.ok(facts.processor.length > 0);
  for (const number of [facts.memoryFreeBytes, facts.processesFree, facts.imageFreeBytes]) t.ok(number > 0);
  t.equal(facts.architecture, process.arch);
  t.type(facts.carrier?.missing, 'string');
});
