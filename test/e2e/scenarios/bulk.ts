import { pauseDatabase } from '../pause.js';
import type { Scenario } from './scenario.js';

const noteBytes = 2_000;
const first = 10;
const rows = 6_000;
const requestBytes = rows * noteBytes;
/** More than this of the request has left the link when the application is moved. */
const wayBytes = 100_000;

/** The database stops reading in the middle of the request, so it is certain that the move cuts the request in two. */
export const bulk: Scenario = {
  name: 'bulk',
  moment: 'in an array insert',
  rule: 'an application is moved in the middle of an array insert: one request of 12 MB',
  flows: ['up'],
  async play(stage) {
    await stage.start(noteBytes, [
      { do: 'create' },
      { do: 'insert', rows: first },
      { do: 'gate', gate: 'bulk' },
      { do: 'insertMany', rows },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ]);
    await stage.event({ begun: 'gate', gate: 'bulk' });
    const watch = stage.watchInvisible();
    const [{ bytes } = { bytes: { fromDriver: 0 } }] = await stage.places();
    const pause = pauseDatabase(stage.world);
    try {
      stage.openGate('bulk');
      await stage.until('request on the link', async () => {
        const [place] = await stage.places();
        return (place?.bytes.fromDriver ?? 0) > bytes.fromDriver + wayBytes ? true : undefined;
      });
      const { after } = await stage.move({ sessions: 1, inTransaction: 1 });
      const sent = (after[0]?.bytes.fromDriver ?? 0) - bytes.fromDriver;
      stage.expect(sent < requestBytes, `the move came before the end of the request, not after ${sent} bytes`);
    } finally {
      pause.end();
    }
    await stage.event({ done: 'insertMany', rows });
    await watch.stop();
    stage.openGate('commit');
    await stage.finish({ firstId: 1, rows: first + rows });
  },
};
