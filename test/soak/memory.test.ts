import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import t from 'tap';
import { account, node, openWorld } from '../../fixtures/lab/world.js';
import type { SessionRow, WorkloadRow } from '../../proxy/control/contract.js';
import { defaultProxyLimits } from '../../proxy/limits.js';
import { shimContract } from '../../shim/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';
import { pauseDatabase } from '../e2e/pause.js';
import { runShim } from '../e2e/shim.js';
import { digestOf } from '../e2e/stage.js';
import { Witness } from '../e2e/witness.js';
import type { Fetched, FetcherPlan } from './fetcher.js';
import { residentBytes } from './resident.js';

t.setTimeout(300_000);

const mebi = 1024 * 1024;
const sessions = 200;
/** 10.5 MB a session, in rows that are large: what is measured are bytes, not rows. */
const noteBytes = 30_000;
const rows = 350;
const step = 2;
const table = 'large';
/** Without budgets the proxy would take in all of the windows, 800 MiB, and its garbage besides. */
const windowMiB = 4;
const budgetMiB = 32;
/** One piece that is read and one in the runtime's buffer, for each session; see proxy/memory.ts. */
const piecesMiB = (sessions * 2 * defaultProxyLimits.pieceBytes) / mebi;
/**
 * Buffers that are not needed any more and that no garbage collection has taken yet. While 2 GB pass as fast as two busy
 * processors can, V8 lets 100 MiB of them gather as a rule and 250 MiB at times.
 */
const garbageMiB = { away: 80, passing: 320 };

t.test(
  '200 results of 10 MB for an application that is away: the proxy stays in its memory, and every byte arrives',
  async (t) => {
    // The application and the database keep 2 GB each.
    process.env.NODE_OPTIONS = '--max-old-space-size=6144';
    const proxyOptions = ['--memory-workload', `${budgetMiB}MiB`, '--link-window', `${windowMiB}MiB`];
    const world = await openWorld({ mover: 'relink', proxyOptions });
    t.teardown(() => world.close());
    const witness = await Witness.open(world.postgresUrl);
    t.teardown(() => witness.close());
    const { user, password, service } = account;
    const connection = await oracledb.getConnection({
      user,
      password,
      connectString: `${world.databaseAddress}/${service}`,
    });
    await connection.execute(`CREATE TABLE ${table} (id NUMBER(10) PRIMARY KEY, note LONG)`);
    await connection.close();
    await witness.fill(table, { firstId: 1, rows: rows + sessions * step }, noteBytes);

    const control = { path: join(world.directory, 'away.sock') };
    const limits = ['--link-window', `${windowMiB}MiB`, '--control-socket', control.path];
    const shim = await runShim(world, 'away', world.proxyAddress, ...limits);
    const plan: FetcherPlan = { table, sessions, rows, step, goFile: join(world.directory, 'go') };
    const worker = new URL('./fetcher.js', import.meta.url).pathname;
    const command = node(worker, `${shim.listen}/${service}`, user, password, JSON.stringify(plan));
    const application = world.start('away', 'center', command);
    await application.printed(/ready/, 120_000);

    const proxy = world.proxy.workerPid;
    const resident = () => (residentBytes(proxy)?.now ?? 0) / mebi;
    const ask = async <Row>(verb: string): Promise<readonly Row[]> =>
      JSON.parse((await world.holdfast(verb, '--json')).stdout);
    const link = async () => (await ask<{ link: WorkloadRow }>('workloads'))[0]?.link;
    const before = resident();
    const pause = pauseDatabase(world);
    writeFileSync(plan.goFile, '');
    const inCall = async () => (await ask<SessionRow>('sessions')).filter(({ callsInFlight }) => callsInFlight > 0);
    while ((await inCall()).length < sessions) await setTimeout(100);
    await callControl(shimContract, control, 'detach', {});
    pause.end();

    let highest = 0;
    let storedBytes = 0;
    for (let calmMs = 0; calmMs < 3_000; ) {
      const stored = (await link())?.storedBytes ?? 0;
      calmMs = stored === storedBytes && stored > 0 ? calmMs + 500 : 0;
      storedBytes = stored;
      await setTimeout(500);
      highest = Math.max(highest, resident());
    }
    t.match(await link(), { state: 'held', sessions });
    t.ok(storedBytes >= budgetMiB * mebi, `${storedBytes} bytes are kept: the budget is spent`);
    t.ok(storedBytes <= budgetMiB * mebi + defaultProxyLimits.pieceBytes, 'and no piece more');
    const awayMiB = budgetMiB + piecesMiB / 2 + garbageMiB.away;
    t.ok(highest - before <= awayMiB, `held: ${Math.round(highest - before)} MiB more than before, at most ${awayMiB}`);

    await callControl(shimContract, control, 'attach', {});
    const { code, stdout, stderr } = await application.ended;
    t.match({ code, stderr }, { code: 0, stderr: '' });
    const boundMiB = budgetMiB + piecesMiB + garbageMiB.passing;
    const peak = (residentBytes(proxy)?.highest ?? 0) / mebi;
    t.ok(peak - before <= boundMiB, `at its highest: ${Math.round(peak - before)} MiB more, at most ${boundMiB}`);
    const lines = stdout.trim().split('\n').slice(1);
    const fetched = lines.map((line): Fetched => JSON.parse(line)).sort((one, other) => one.session - other.session);
    t.equal(fetched.length, sessions);
    const wrong = fetched.filter(({ session, digest }) => {
      return digest !== digestOf(noteBytes, [{ firstId: 1 + session * step, rows }]);
    });
    t.strictSame(wrong, [], 'every session got every byte of its result');
  },
);
