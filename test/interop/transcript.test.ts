import t from 'tap';
import { isFailed, type Row } from './rows.js';
import { differences, eventsOf, normalised } from './transcript.js';

t.test('lines that are no events are left out, and so is a line that has not ended', async (t) => {
  const output = 'SLF4J: no providers\n{"step":"one"}\n{"step":"two"}\n{"st';
  t.strictSame(eventsOf(output), [{ step: 'one' }, { step: 'two' }]);
});

t.test('only what two runs cannot have in common is taken away', async (t) => {
  const event = {
    gate: 'open',
    sid: 12,
    serial: 3,
    message: 'at host 127.0.0.1 port 1521 (CONNECTION_ID=ab+/=), or at 127.0.0.1:1521',
    rows: [[12, 'sid']],
  };
  t.strictSame(normalised(event), {
    gate: 'open',
    sid: 'N',
    serial: 'N',
    message: 'at host H port N (CONNECTION_ID=...), or at HOST:PORT',
    rows: [[12, 'sid']],
  });
});

t.test('a different value, order, a missing or an additional line is a difference', async (t) => {
  const [one, two] = [{ step: 'one', rows: [1, 'a'] }, { step: 'two' }];
  t.strictSame(differences([one, two], [{ step: 'one', rows: [1, 'a'] }, two]), []);
  t.match(differences([one], [{ step: 'one', rows: [1, 'b'] }]), [/^line 1: straight .*"a".* \| proxied .*"b"/]);
  t.equal(differences([one, two], [two, one]).length, 2);
  t.match(differences([one, two], [one]), [/^line 2: straight .*two.* proxied nothing/]);
  t.match(differences([one], [one, two]), [/^line 2: straight nothing/]);
  t.equal(differences([{ sid: 'text' }], [{ sid: 'other' }]).length, 1);
});

t.test('what was left out is a failure only where everything is required', async (t) => {
  const row: Row = {
    driver: 'd',
    version: '1',
    program: 'p',
    straight: 'ok',
    proxied: 'ok',
    equal: true,
    lines: 1,
    cuts: 0,
    moves: 0,
    blackoutMs: 0,
    ms: 1,
    problems: [],
  };
  const skipped: Row = { ...row, straight: 'skipped', proxied: 'skipped', equal: false, skipped: 'no network' };
  t.notOk(isFailed(row, {}));
  t.ok(isFailed({ ...row, equal: false }, {}));
  t.ok(isFailed({ ...row, straight: 'failed' }, {}), 'also when both fail alike');
  t.ok(isFailed({ ...row, proxied: 'failed' }, {}));
  t.notOk(isFailed({ ...skipped, needs: 'driver' }, { HOLDFAST_TEST_REQUIRE_CRIU: '1' }));
  t.ok(isFailed({ ...skipped, needs: 'driver' }, { HOLDFAST_TEST_REQUIRE_DRIVERS: '1' }));
  t.ok(isFailed({ ...skipped, needs: 'criu' }, { HOLDFAST_TEST_REQUIRE_CRIU: '1' }));
});
