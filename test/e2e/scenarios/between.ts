import type { Scenario } from './scenario.js';

const rows = 100;

export const between: Scenario = {
  name: 'between',
  moment: 'between transactions',
  rule: 'an application is moved between two transactions',
  flows: ['up'],
  async play(stage) {
    await stage.start(200, [
      { do: 'create' },
      { do: 'insert', rows },
      { do: 'commit' },
      { do: 'gate', gate: 'moved' },
      { do: 'insert', rows },
      { do: 'commit' },
      { do: 'read' },
    ]);
    await stage.event({ begun: 'gate' });
    await stage.move({ sessions: 1, inTransaction: 0 });
    stage.openGate('moved');
    const all = { firstId: 1, rows: rows * 2 };
    const read = await stage.event({ done: 'read' });
    stage.equal(read.digest, stage.digestOf(all), 'what the application read');
    await stage.finish(all);
  },
};
