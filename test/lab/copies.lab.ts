import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findCriu } from '../../fixtures/lab/criu.js';
import { openWorld } from '../../fixtures/lab/world.js';
import { processTree, signal } from '../../migrate/workload/process.js';
import { shimContract } from '../../shim/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';
import { Stage } from '../e2e/stage.js';
import { Witness } from '../e2e/witness.js';
import { faultyProgram } from './faulty-program.js';

/**
 * An image is restored twice, on two hosts: the first copy binds and works, the second comes later. It has the same memory, so
 * also the token that the first has used up.
 */
const name = 'twice';
const rows = 20;

t.test(
  'of an image that is restored twice the second copy is refused, its driver hears of it, and the first goes on',
  async (t) => {
    const found = await findCriu();
    if (found.kind === 'missing') throw new Error(found.reason);
    const criu = faultyProgram(t, found.path);
    const world = await openWorld({ mover: 'criu', criu: { 'node-a': found.path, 'node-b': criu.path } });
    t.teardown(() => world.close());
    const witness = await Witness.open(world.postgresUrl);
    t.teardown(() => witness.close());
    const stage = new Stage({ world, witness, name, waitMs: 60_000 });
    await stage.start(50, [
      { do: 'create' },
      { do: 'insert', rows },
      { do: 'gate', gate: 'restored-twice' },
      { do: 'insert', rows },
      { do: 'commit' },
    ]);
    await stage.event({ done: 'insert' });

    // Nobody runs between dump and restore: files are as long as the image says, and a copy of them stays so.
    const workload = join(world.directory, 'state/workloads', name);
    const kept = join(world.directory, 'kept');
    criu.set('restore', `cp -a '${workload}' '${kept}'; echo "$3" >'${kept}/image-path'`);
    const { record } = await stage.move({ sessions: 1, inTransaction: 1 });
    t.equal(record.outcome, 'moved');
    t.strictSame(stage.failures, []);

    // In a mount namespace of its own, in which the first copy's files are as they were.
    const image = readFileSync(join(kept, 'image-path'), 'utf8').trim();
    const flags = '--tcp-established --network-lock skip --manage-cgroups=ignore --file-locks --restore-detached';
    const restore = `'${found.path}' restore --images-dir '${image}' --pidfile '${kept}/second.pid' ${flags}`;
    const script = `mount --bind '${kept}' '${workload}' && ${restore} && echo restored`;
    const words = ['--mount', '--propagation', 'private', 'sh', '-c', script];
    await world.start('second', 'node-a', { file: 'unshare', args: words }).printed(/restored/);
    const second = processTree(Number(readFileSync(join(kept, 'second.pid'), 'utf8')), true);
    t.teardown(() => signal(second, 'SIGKILL'));
    t.ok(second.length >= 3, 'the first process, the shim and the application');
    signal(second, 'SIGCONT');
    const attach = callControl(shimContract, { path: join(kept, 'shim.sock') }, 'attach', {});
    await t.rejects(attach, { code: 'refused-stale-epoch' });

    stage.openGate('restored-twice');
    const heard = () => /NJS-\d+|ORA-\d+/.exec(readFileSync(join(kept, 'app.log'), 'utf8'))?.[0];
    const error = await stage.until('error of the second copy', heard);
    t.equal(error, 'NJS-500');
    await stage.finish({ firstId: 1, rows: 2 * rows });
    t.strictSame(stage.failures, []);
  },
);
