import t from 'tap';
import * as values from '../../../shim/program/values.js';

const accepts = <T>(kind: values.ValueKind<T>, value: unknown) => kind.schema.safeParse(value).data;

t.test('durations are milliseconds and need a unit', async (t) => {
  const cases = {
    '500ms': 500,
    '30s': 30_000,
    '2m': 120_000,
    '1h': 3_600_000,
    '7d': 604_800_000,
    '1.5s': 1_500,
    '0': 0,
  };
  for (const [text, ms] of Object.entries(cases)) t.equal(accepts(values.duration(), text), ms, text);
  for (const text of ['30', '30 parsecs', '-1s', '', 's', '1.0001ms'])
    t.equal(accepts(values.duration(), text), undefined, text);
});

t.test('sizes are bytes and need a unit', async (t) => {
  t.equal(accepts(values.size(), '64KiB'), 65_536);
  t.equal(accepts(values.size(), '512B'), 512);
  t.equal(accepts(values.size(), '2GiB'), 2_147_483_648);
  for (const text of ['64', '64KB', '1.5B', '999999999999GiB']) t.equal(accepts(values.size(), text), undefined, text);
});

t.test('addresses are host and port, IPv6 in brackets', async (t) => {
  t.same(accepts(values.address(), '127.0.0.1:1521'), { host: '127.0.0.1', port: 1521 });
  t.same(accepts(values.address(), '[::1]:0'), { host: '::1', port: 0 });
  for (const text of ['1521', 'db', 'db:', ':1521', '::1:1521', 'db:65536', 'a b:1', 'user@db:1']) {
    t.equal(accepts(values.address(), text), undefined, text);
  }
});

t.test('YAML scalars count as what a user would type', async (t) => {
  t.equal(accepts(values.count(1, 10), 7), 7);
  t.equal(accepts(values.flag(), true), true);
  t.equal(accepts(values.flag(), 'yes'), undefined);
  t.equal(accepts(values.text(), { a: 1 }), undefined);
});

t.test('counts have bounds', async (t) => {
  t.equal(accepts(values.count(1, 10), '10'), 10);
  for (const text of ['0', '11', '1.5', 'x']) t.equal(accepts(values.count(1, 10), text), undefined, text);
});

t.test('names can be parts of paths', async (t) => {
  t.equal(accepts(values.name(), 'billing-1.eu'), 'billing-1.eu');
  for (const text of ['', '.', '..', 'a/b', '-rf', 'a b', 'x'.repeat(65)])
    t.equal(accepts(values.name(), text), undefined, text);
});

t.test('lists are separated by commas or are YAML lists, and every item is checked', async (t) => {
  t.same(accepts(values.list(values.count(1, 9)), '1, 2,3'), [1, 2, 3]);
  t.same(accepts(values.list(values.count(1, 9)), [4, '5']), [4, 5]);
  t.equal(accepts(values.list(values.count(1, 9)), '1,x'), undefined);
});
