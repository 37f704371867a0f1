import t from 'tap';
import { evacuateRequest, labels } from '../../../migrate/fleet/messages.js';
import { concurrencyMax, labelCharactersMax, labelsMax } from '../../../migrate/limits.js';

t.test('labels have names, and are bounded in number and length', async (t) => {
  const takes = (value: unknown) => labels.safeParse(value).success;
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`l${index}`, 'x']));
  t.ok(takes({ 'anti-affinity': 'orders', tier: 'web' }));
  t.ok(takes({ tier: 'x'.repeat(labelCharactersMax) }));
  t.notOk(takes({ tier: 'x'.repeat(labelCharactersMax + 1) }));
  t.ok(takes(many(labelsMax)));
  t.notOk(takes(many(labelsMax + 1)));
  for (const name of ['', '-a', 'a b', 'x'.repeat(64)]) t.notOk(takes({ [name]: 'x' }), name);
});

t.test('no more moves at the same time than the limit', async (t) => {
  const takes = (concurrency: number) =>
    evacuateRequest.safeParse({ concurrency, mover: 'criu', by: { user: 'dba', host: 'here' } }).success;
  t.ok(takes(concurrencyMax));
  for (const wrong of [0, concurrencyMax + 1, 1.5]) t.notOk(takes(wrong));
});
