import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findCriu } from '../../fixtures/lab/criu.js';
import { account, type NodeName, node, openWorld } from '../../fixtures/lab/world.js';
import { processState, readOrNothing, waitUntil } from '../../migrate/workload/process.js';

/** Agents are killed at boundaries of a move; when they are back exactly one copy of the application runs, and it works on. */
const application = new URL('../../fixtures/apps/insert-rows.js', import.meta.url).pathname;
const found = await findCriu();
if (found.kind === 'missing') throw new Error(found.reason);
const gate = join(t.testdir(), 'gate');
process.env.HOLDFAST_LAB_GATE = gate;
process.env.NODE_OPTIONS = `--import=${new URL('gate.js', import.meta.url).href}`;
const world = await openWorld({ mover: 'criu', criu: { 'node-a': found.path, 'node-b': found.path } });
t.teardown(() => world.close());

const json = async (verb: string, ...words: string[]) => {
  const { stdout, stderr } = await world.holdfast(verb, '--json', ...words);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
};
const inserted = () => world.output('orders').split('\n').length;
const copies = () =>
  readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    const words = readOrNothing(`/proc/${name}/cmdline`)?.split('\0') ?? [];
    return (
      words[1] === application && words.includes(world.directory.slice(-6)) && processState(Number(name))?.state !== 'T'
    );
  });

const login = [`${world.shimAddress}/${account.service}`, account.user, account.password];
const command = node(application, ...login, '1000000', world.directory.slice(-6));
await world.holdfast('run', '--name', 'orders', '--listen', world.shimAddress, '--', command.file, ...command.args);
if (!(await waitUntil(() => inserted() > 3, 60_000))) throw new Error('the application does not insert');

const says = (kind: string, phase: string) =>
  kind === 'phase' ? `"kind":"phase","phase":"${phase}"` : `"kind":"done","phase":"${phase}"`;
let at: NodeName = 'node-a';
for (const [party, kind, phase] of [
  ['source', 'phase', 'detach'],
  ['source', 'phase', 'freeze'],
  ['source', 'phase', 'restore'],
  ['source', 'phase', 'bind'],
  ['source', 'done', 'bind'],
  ['source', 'phase', 'retire'],
  ['target', 'phase', 'restore'],
  ['target', 'phase', 'bind'],
  ['target', 'done', 'bind'],
] as const) {
  t.test(`agent of the ${party} dies: ${kind} ${phase}`, async (t) => {
    const to: NodeName = at === 'node-a' ? 'node-b' : 'node-a';
    const victim = party === 'source' ? at : to;
    const pid = party === 'source' ? 0 : Number(world.agent(to).child.pid);
    writeFileSync(gate, JSON.stringify({ says: says(kind, phase), pid }));
    await world.holdfast('move', '--json', 'orders', '--to', to);
    await world.agent(victim).ended;
    await world.restartAgent(victim);
    let row: { node: NodeName; moving?: string } | undefined;
    for (let looks = 0; looks < 30; looks++) {
      [row] = await json('ps');
      if (row !== undefined && row.moving === undefined) break;
    }
    at = row?.node ?? at;
    const now = inserted();
    t.ok(await waitUntil(() => inserted() > now + 1, 60_000), 'the application works on');
    t.equal(copies().length, 1, `copiesRunning, at ${at}`);
  });
}
