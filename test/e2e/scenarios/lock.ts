import type { Scenario } from './scenario.js';

const rows = 10;

export const lock: Scenario = {
  name: 'lock',
  moment: 'others wait for its lock',
  rule: 'a session that waits for a lock of the moved application gets it after the commit, not before',
  flows: ['down'],
  async play(stage) {
    await stage.start(200, [
      { do: 'create' },
      { do: 'insert', rows },
      { do: 'commit' },
      { do: 'update', id: 1 },
      { do: 'gate', gate: 'moved' },
      { do: 'insert', rows },
      { do: 'read' },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ]);
    await stage.event({ begun: 'gate', gate: 'moved' });
    const [holder] = await stage.places();
    const waiters = () => stage.witness.waitingFor(holder?.databasePid ?? 0);
    const other = stage.other({ do: 'update', id: 1 }, { do: 'commit' });
    const [waiter] = await stage.until('second session that waits', async () => {
      const found = await waiters();
      return found.length > 0 ? found : undefined;
    });
    await stage.move({ sessions: 1, inTransaction: 1 });
    stage.equal((await waiters()).join(), String(waiter), 'who waits after the move');
    stage.openGate('moved');
    const read = await stage.event({ done: 'read' });
    stage.equal(read.digest, stage.digestOf({ firstId: 1, rows: rows * 2 }), 'what the application read');
    stage.equal((await waiters()).join(), String(waiter), 'who waits right before the commit');
    stage.equal(await stage.witness.visibleRows(stage.table), rows, 'rows that others see before the commit');
    stage.expect(
      !stage.otherHasPrinted('"done":"update"'),
      'the second session does not get the lock before the commit',
    );
    stage.openGate('commit');
    await stage.finish({ firstId: 1, rows: rows * 2 });
    const { code, stdout } = await other.ended;
    stage.equal(code, 0, 'exit code of the second session');
    stage.expect(
      stdout.includes('"done":"update","rows":1'),
      'the second session has changed the row after the commit',
    );
  },
};
