import type { Scenario } from './scenario.js';

const rows = 500;

export const transaction: Scenario = {
  name: 'transaction',
  moment: 'in a transaction',
  rule: 'an application is moved in a transaction',
  flows: ['up', 'down'],
  async play(stage) {
    await stage.start(200, [
      { do: 'create' },
      { do: 'insert', rows },
      { do: 'gate', gate: 'moved' },
      { do: 'insert', rows },
      { do: 'read' },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ]);
    await stage.event({ done: 'create' });
    const watch = stage.watchInvisible();
    await stage.event({ begun: 'gate', gate: 'moved' });
    const { record } = await stage.move({ sessions: 1, inTransaction: 1 });
    stage.equal(record.sessions[0]?.transaction.before, 'open', 'transaction before, as the proxy saw it');
    stage.equal(record.sessions[0]?.transaction.after, 'open', 'transaction after, as the proxy saw it');
    stage.openGate('moved');
    const all = { firstId: 1, rows: rows * 2 };
    const read = await stage.event({ done: 'read' });
    stage.equal(read.digest, stage.digestOf(all), 'what the application read');
    await watch.stop();
    stage.openGate('commit');
    await stage.finish(all);
  },
};
