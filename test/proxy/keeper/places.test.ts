import t from 'tap';
import { foundIn, slotsFor, storeOf } from '../../../proxy/keeper/places.js';

/** A service manager that is told what to keep. */
function manager() {
  const kept = new Map<string, number>();
  return {
    kept,
    keep: (name: string, fd: number) => void kept.set(name, fd),
    forget: (name: string) => void kept.delete(name),
  };
}

t.test('what each slot has kept is found again, with its slot and the number of slots', async (t) => {
  const { kept, ...side } = manager();
  storeOf(side, { index: 0, of: 3 }).keep(1, 10);
  storeOf(side, { index: 0, of: 3 }).keep(16, 11);
  storeOf(side, { index: 2, of: 3 }).keep(16, 12);
  storeOf(side, { index: 2, of: 3 }).keep(17, 13);
  storeOf(side, { index: 2, of: 3 }).forget(17);
  const found = foundIn(kept);
  t.strictSame(found, {
    of: 3,
    sockets: [
      [1, 10, 0],
      [16, 11, 0],
      [16, 12, 2],
    ],
  });
  for (const name of kept.keys()) t.match(name, /^[a-zA-Z0-9-]+$/);
});

t.test('one worker has the names that it always had', async (t) => {
  const { kept, ...side } = manager();
  storeOf(side, { index: 0, of: 1 }).keep(16, 11);
  t.strictSame([...kept], [['holdfast-16', 11]]);
  t.strictSame(foundIn(kept), { of: 1, sockets: [[16, 11, 0]] });
  t.strictSame(foundIn(new Map([['somebody-elses', 5]])).sockets, []);
});

t.test('the number of slots changes only while there is no session', async (t) => {
  const listening = [
    [1, 10, 0],
    [2, 11, 0],
  ] as const;
  t.equal(slotsFor({ of: 3, sockets: [...listening, [16, 12, 2]] }, 2), 3);
  t.equal(slotsFor({ of: 1, sockets: [[16, 12]] }, 4), 1);
  t.equal(slotsFor({ of: 3, sockets: listening }, 2), 2);
  t.equal(slotsFor({ of: 1, sockets: [] }, 2), 2);
  const names = new Map([
    ['holdfast-1', 10],
    ['holdfast-1-3-16', 12],
  ]);
  t.equal(foundIn(names).of, 3, 'a listening socket may have the name of an earlier time');
});
