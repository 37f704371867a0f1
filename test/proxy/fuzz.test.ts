/** HOLDFAST_SEED and HOLDFAST_FUZZ_RUNS repeat or lengthen a run. Programs of other drivers: test/interop. */
import t from 'tap';
import { parseTarget } from '../../proxy/backend/target.js';
import { Random } from '../../shim/program/random.js';
import { recordPrograms } from '../fixtures/captures/programs.js';
import { damage, playDamaged } from './damage.js';

const seed = Number(process.env.HOLDFAST_SEED ?? Date.now() % 2 ** 31);
const runs = Number(process.env.HOLDFAST_FUZZ_RUNS ?? 3_000);
t.comment(`HOLDFAST_SEED=${seed} HOLDFAST_FUZZ_RUNS=${runs}`);

t.test('damaged conversations of the driver never break a decoder, and end in all kinds of ways', async (t) => {
  const recorded = (await recordPrograms(t)).filter(({ segments }) => segments.length > 0);
  t.ok(recorded.length >= 10, `${recorded.length} conversations`);
  const { ends, failures } = playDamaged(recorded, seed, runs);
  t.strictSame(failures, []);
  t.comment(Object.fromEntries(ends));
  t.ok(ends.size >= 5, 'damage has all kinds of ends');
  for (const end of ['unknown', 'driver-not-oracle-net', 'database-not-oracle-net'])
    t.ok((ends.get(end) ?? 0) > 0, end);
});

t.test('damaged texts of --database are addresses or are refused', async (t) => {
  const text =
    '(DESCRIPTION_LIST=(LOAD_BALANCE=on)(DESCRIPTION=(ADDRESS_LIST=(FAILOVER=on)(ADDRESS=(PROTOCOL=tcps)(HOST=a)(PORT=1))))(SECURITY=(SSL_SERVER_CERT_DN="CN=x")))';
  const random = new Random(seed);
  let refused = 0;
  for (let run = 0; run < runs; run++) {
    const target = parseTarget(damage(Buffer.from(text), random).toString('latin1'));
    if (target === undefined) refused += 1;
    else if (target.lists.every(({ addresses }) => addresses.length === 0)) t.fail('a target without an address');
  }
  t.ok(refused > runs / 10 && refused < runs, `${refused} of ${runs} refused`);
});
