import t from 'tap';
import { FaultSwitch, installFaults } from './faults/switch.js';
import { openStage } from './play.js';
import type { Move } from './stage.js';
import { Stage } from './stage.js';

/** What the record of a move says of the bytes, with a link that does its work, and with one that spoils a byte. */
const faults = installFaults();
t.teardown(() => faults.remove());
const { world, witness } = await openStage({ mover: 'relink' });

const hashesOf = ({ record }: Move) => record.sessions[0]?.hashes;

for (const [kind, direction] of [
  ['none', 'up'],
  ['swap', 'up'],
  ['swap', 'down'],
] as const) {
  const name = `hashes-${kind}-${direction}`;
  t.test(`fault ${kind} ${direction}: the record of the next move says whether both ends saw the same`, async (t) => {
    const fault = new FaultSwitch(faults.directory, name, { kind, direction, onArrival: true });
    const stage = new Stage({ world, witness, name, waitMs: 0, fault });
    const readsOrInserts = direction === 'up' ? 'insertUntil' : 'readUntil';
    await stage.start(200, [
      { do: 'create' },
      { do: 'insert', rows: 20 },
      { do: readsOrInserts, gate: 'moved' },
      { do: 'commit' },
    ]);
    await stage.event({ begun: readsOrInserts });
    const first = hashesOf(await stage.move({ sessions: 1, inTransaction: 1 }));
    t.match(first, { up: { from: 0, same: true }, down: { from: 0, same: true } });
    await stage.until('row after the move', () => (fault.struck ? true : undefined));
    const second = await stage.move({ sessions: 1, inTransaction: 1 });
    const wrong = kind === 'none' ? undefined : direction;
    for (const way of ['up', 'down'] as const) {
      const seen = hashesOf(second)?.[way];
      t.match(seen, { from: first?.[way]?.to, same: way !== wrong });
      t.equal(seen?.shim === seen?.proxy, way !== wrong);
    }
    const codes = second.record.warnings.map(({ code }) => code);
    t.same(codes, kind === 'none' ? [] : ['bytes-differ']);
    const shown = await world.holdfast('show', second.record.move);
    t.match(shown.stdout, new RegExp(`^1 +${direction} .* ${kind === 'none' ? 'yes' : 'NO'}$`, 'm'));
    stage.openGate('moved');
    await stage.close();
  });
}
