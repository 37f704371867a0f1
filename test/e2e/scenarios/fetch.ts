import type { StepEvent } from '../../../fixtures/apps/steps.js';
import type { Stage } from '../stage.js';
import type { Scenario } from './scenario.js';

const noteBytes = 1_000;
const filled = { firstId: 500_001, rows: 8_000 };
/** The rows flow without a pause, so nearly every move hits them on the link. */
const movesMax = 5;

export const fetch: Scenario = {
  name: 'fetch',
  moment: 'in a fetch',
  rule: 'an application is moved while the rows of a query flow: 8 MB in 20 round trips',
  flows: ['down'],
  async play(stage) {
    await stage.start(noteBytes, [
      { do: 'create' },
      { do: 'insert', rows: 1 },
      { do: 'gate', gate: 'filled' },
      { do: 'readUntil', gate: 'moved' },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ]);
    await stage.event({ begun: 'gate', gate: 'filled' });
    await stage.witness.fill(stage.table, filled, noteBytes);
    stage.openGate('filled');
    await stage.event({ begun: 'readUntil' });
    let isCut = false;
    for (let moves = 0; moves < movesMax && !isCut; moves++) {
      const past = reads(stage).length;
      const { record } = await stage.move({ sessions: 1, inTransaction: 1 });
      const done = reads(stage).length;
      await stage.until('end of a query', () => reads(stage)[done]);
      isCut = record.replayedBytes.down > 0 || reads(stage).slice(past).some(hasWaited(record.blackoutMs.total));
    }
    stage.expect(isCut, `a move has come between rows of a query, which ${movesMax} moves did not`);
    stage.openGate('moved');
    await stage.event({ done: 'readUntil' });
    const wanted = stage.digestOf({ firstId: 1, rows: 1 }, filled);
    for (const { rows, digest } of reads(stage)) {
      stage.equal(rows, filled.rows + 1, 'rows that the application read');
      stage.equal(digest, wanted, 'what the application read');
    }
    stage.openGate('commit');
    await stage.finish({ firstId: 1, rows: 1 }, filled);
  },
};

function reads(stage: Stage): readonly StepEvent[] {
  return stage.events().filter(({ done }) => done === 'read');
}

/** A query has waited between its first row and its last, for about as long as the application was frozen. */
function hasWaited(blackoutMs: number): (read: StepEvent) => boolean {
  return ({ pause }) =>
    pause !== undefined && pause.ms > blackoutMs * 0.7 && pause.afterRows > 0 && pause.afterRows < filled.rows;
}
