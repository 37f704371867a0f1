import type { Move } from '../stage.js';
import type { Scenario } from './scenario.js';

const rows = 20;
/** Longer than a move takes; on a machine where it is not, another move is tried. */
const seconds = 15;
const movesMax = 5;

export const call: Scenario = {
  name: 'call',
  moment: 'in a call',
  rule: 'an application is moved while its call runs in the database',
  flows: ['down'],
  async play(stage) {
    await stage.start(200, [
      { do: 'create' },
      { do: 'insert', rows },
      { do: 'sleepUntil', gate: 'moved', seconds },
      { do: 'insert', rows },
      { do: 'read' },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ]);
    await stage.event({ begun: 'sleepUntil' });
    const watch = stage.watchInvisible();
    let move: Move | undefined;
    for (let moves = 0; moves < movesMax && !isOneCall(move); moves++) {
      move = await stage.move({ sessions: 1, inTransaction: 1 });
    }
    stage.expect(isOneCall(move), `a call has lasted over a move, which it did not in ${movesMax} moves`);
    stage.equal(move?.record.sessions[0]?.callsInFlight.before, 1, 'calls in flight before the move');
    stage.equal(move?.record.sessions[0]?.callsInFlight.after, 1, 'calls in flight after the move');
    stage.openGate('moved');
    const all = { firstId: 1, rows: rows * 2 };
    const read = await stage.event({ done: 'read' });
    stage.equal(read.digest, stage.digestOf(all), 'what the application read');
    await watch.stop();
    stage.openGate('commit');
    await stage.finish(all);
  },
};

/** PostgreSQL still works on the statement that it worked on before the move. */
function isOneCall(move: Move | undefined): boolean {
  const [was] = move?.before ?? [];
  const [is] = move?.after ?? [];
  return is?.databaseState === 'active' && is.queryStart === was?.queryStart;
}
