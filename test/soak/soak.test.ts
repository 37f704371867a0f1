import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { type FaultKind, installFaults } from '../e2e/faults/switch.js';
import { Soak, type SoakOptions, type SoakResult } from './soak.js';

t.setTimeout(300_000);

const options = { sessions: 10, workloads: 2, cutsPerSecond: 5, pauseMsMax: 60, stallMs: 60_000 };

function soak(t: Test, more: Partial<SoakOptions>): Promise<SoakResult> {
  return Soak.run({ ...options, durationMs: 8_000, seed: 1, say: (text) => t.comment(text), ...more });
}

t.test('sessions in transactions lose nothing while their links are cut several times a second', async (t) => {
  const result = await soak(t, {});
  t.match(result, { ok: true, violations: [], lost: 0, duplicated: 0, rolledBack: 0, countersOff: 0 });
  const { cuts, binds, replayedBytes, transactions } = result;
  t.ok(cuts >= 10 && binds > cuts / 2, `${cuts} cuts, ${binds} binds`);
  t.ok(replayedBytes > 0 && transactions > 20, `${replayedBytes} bytes sent again, ${transactions} transactions`);
});

for (const kind of ['drop', 'swap'] satisfies FaultKind[]) {
  t.test(`one wrong byte on a link (${kind}), and the soak fails`, async (t) => {
    const faults = installFaults();
    t.teardown(() => faults.remove());
    const fault = { kind, directory: faults.directory };
    const result = await soak(t, { durationMs: 30_000, stallMs: 5_000, fault });
    t.equal(result.ok, false);
    t.ok(result.violations.length > 0 && result.seconds < 30, result.violations.join('; '));
    if (result.kept !== undefined) rmSync(result.kept, { recursive: true });
  });
}
