import type { Place } from '../stage.js';
import type { Scenario } from './scenario.js';

const moves = 4;

export const backAndForth: Scenario = {
  name: 'back-and-forth',
  moment: 'inserting, there and back twice',
  rule: 'an application is moved to the other node and back, twice, in one transaction that goes on all the time',
  flows: ['up'],
  async play(stage) {
    await stage.start(200, [
      { do: 'create' },
      { do: 'insertUntil', gate: 'moved' },
      { do: 'read' },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ]);
    await stage.event({ begun: 'insertUntil' });
    const watch = stage.watchInvisible();
    const hasBegun = ([place]: readonly Place[]) => typeof place?.databaseXid === 'string';
    let last = await stage.until('first row', async () => {
      const places = await stage.places();
      return hasBegun(places) ? places : undefined;
    });
    for (let move = 0; move < moves; move++) {
      const { before, after } = await stage.move({ sessions: 1, inTransaction: 1 }, last);
      const bytes = (after[0]?.bytes.fromDriver ?? 0) - (before[0]?.bytes.fromDriver ?? 0);
      stage.expect(bytes > 0, 'the application goes on between the moves');
      if (stage.failures.length > 0) return;
      last = after;
    }
    stage.openGate('moved');
    const { rows = 0 } = await stage.event({ done: 'insertUntil' });
    const read = await stage.event({ done: 'read' });
    stage.equal(read.digest, stage.digestOf({ firstId: 1, rows }), 'what the application read');
    await watch.stop();
    stage.openGate('commit');
    await stage.finish({ firstId: 1, rows });
  },
};
