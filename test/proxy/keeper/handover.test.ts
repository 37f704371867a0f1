import { fstatSync } from 'node:fs';
import t from 'tap';
import { readHandover, takeHandover, writeHandover } from '../../../proxy/keeper/handover.js';

const many = Array.from({ length: 60_000 }, (_, index) => [index, index + 20] as const);
const handover = { journal: { directory: '/dev/shm/some-journal', isOwn: true }, sockets: many };

t.test('what is handed over comes back, however many sockets there are', async (t) => {
  const file = writeHandover(handover);
  t.equal(fstatSync(file).nlink, 0, 'the file has no name');
  t.same(readHandover(file), handover);
  t.throws(() => fstatSync(file), { code: 'EBADF' }, 'and is closed');
});

t.test('it is taken once: what this process starts must not find it', async (t) => {
  const environment: NodeJS.ProcessEnv = { HOLDFAST_KEEPER_HANDOVER: String(writeHandover(handover)) };
  t.match(takeHandover(environment), { journal: handover.journal });
  t.equal(takeHandover(environment), undefined);
});
