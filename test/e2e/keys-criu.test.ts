import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { identity, makeKeys } from '../shim/program/certificates.js';
import { openStage } from './play.js';
import { Stage } from './stage.js';
import { worldOptions } from './world-options.js';

/** The key of a moved shim is in its image, and so goes along; files that the next host has win over it. */

const name = 'keyed';
const workload = `workload:${name}`;
const days = 30;

t.test(
  'a moved shim goes on with the key in its memory, and takes up the files of its host when there are some',
  async (t) => {
    const options = await worldOptions('criu');
    if ('missing' in options) {
      t.pass(`not moved: ${options.missing}`);
      return;
    }
    const made = await makeKeys(t, 'proxy', 'agent', 'operator', workload);
    const protection = (who: string) => made.flags(who.startsWith('agent:') ? 'agent' : who);
    const { world, witness } = await openStage({ ...options, protection });
    const stage = new Stage({ world, witness, name, waitMs: 60_000 });
    t.teardown(() => stage.close());
    await stage.start(200, [{ do: 'create' }, { do: 'insertUntil', gate: 'moved' }, { do: 'commit' }, { do: 'read' }]);
    await stage.event({ begun: 'insertUntil' });
    const places = await stage.until('first row', async () => {
      const found = await stage.places();
      return typeof found[0]?.databaseXid === 'string' ? found : undefined;
    });

    rmSync(made.file(workload));
    const { after } = await stage.move({ sessions: 1, inTransaction: 1 }, places);
    t.strictSame(stage.failures, [], 'without the file, from memory');

    for (const step of ['trust', 'issue', 'retire'] as const) await made.keys.rotate(step, days);
    await made.keys.issue([identity(workload)], days, false);
    await stage.move({ sessions: 1, inTransaction: 1 }, after);
    t.strictSame(
      stage.failures,
      [],
      'the key in memory is of an authority that nobody trusts any more: the file counts',
    );

    stage.openGate('moved');
    const { rows = 0 } = await stage.event({ done: 'insertUntil' });
    await stage.finish({ firstId: 1, rows });
    t.strictSame(stage.failures, []);
    const moves = join(world.directory, 'state/workloads', name, 'moves');
    for (const move of readdirSync(moves)) t.notOk(existsSync(join(moves, move, 'image')), 'no image is left');
  },
);
