import { join } from 'node:path';
import t from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { node, openWorld } from '../../fixtures/lab/world.js';
import type { WorkloadInfo } from '../../migrate/contract.js';
import { leftBehind } from '../../migrate/fleet/evacuation.js';
import { outerPid, processTree, signal } from '../../migrate/workload/process.js';
import { shimContract } from '../../shim/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';

/** A node is emptied by `relink`, with the commands of an operator; test/evacuation does it with CRIU and open transactions. */
const world = await openWorld({ mover: 'relink', nodes: 3 });
t.teardown(() => world.close());

const names = ['orders-1', 'orders-2', 'billing', 'mail'];
const evacuate = async (...words: string[]) => {
  const { code, stdout, stderr } = await world.holdfast('evacuate', '--mover', 'relink', '--json', ...words);
  return { code, stderr, reply: JSON.parse(stdout) };
};
const where = async (): Promise<Record<string, string>> => {
  const { stdout } = await world.holdfast('workloads', '--json');
  return Object.fromEntries(JSON.parse(stdout).map(({ name, node }: WorkloadInfo) => [name, node]));
};

const start = async (name: string) => {
  const labels = name.startsWith('orders') ? ['--label', 'anti-affinity=orders,tier=web'] : [];
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  await world.holdfast('run', '--name', name, '--node', 'node-a', '--listen', listen, ...labels, '--', 'sleep', '600');
};
await Promise.all(names.map(start));

t.test('a dry run prints the plan and moves nothing', async (t) => {
  const { code, reply } = await evacuate('node-a', '--dry-run');
  t.equal(code, 0);
  t.match(reply, { state: 'planned', node: 'node-a', targets: [{ node: 'node-b' }, { node: 'node-c' }], unplaced: [] });
  const to = new Map(reply.moves.map((move: { workload: string; to: string }) => [move.workload, move.to]));
  t.strictSame([...to.keys()].sort(), [...names].sort());
  t.not(to.get('orders-1'), to.get('orders-2'), 'those with the same label are kept apart');
  t.ok(reply.moves.every(({ memoryBytes }: { memoryBytes: number }) => memoryBytes > 1_048_576));
  t.strictSame(new Set(Object.values(await where())), new Set(['node-a']));
  const table = await world.holdfast('evacuate', '--dry-run', 'node-a');
  t.match(table.stdout, /^WORKLOAD +TO +MEMORY +SESSIONS +TRANSACTIONS +WAITERS\n(.*MiB.*\n){4}$/);
});

t.test('what finds no place is named, and the exit code says that the node would not be empty', async (t) => {
  const [one, both, itself, nothing, unknown] = await Promise.all([
    evacuate('node-a', '--dry-run', '--to', 'node-b'),
    evacuate('node-a', '--dry-run', '--to', 'node-b', '--ignore-anti-affinity'),
    evacuate('node-a', '--dry-run', '--to', 'node-a'),
    evacuate('node-b', '--resume'),
    evacuate('node-x'),
  ]);
  t.match(one, { code: 1, stderr: /not-empty: still at node-a: orders-/ });
  t.match(one.reply.unplaced, [{ code: 'anti-affinity', workload: /^orders/ }]);
  t.match(both, { code: 0 });
  t.match(itself, { code: 1, reply: { error: { code: 'same-node' } } });
  t.match(nothing, { code: 1, reply: { error: { code: 'nothing-to-resume' } } });
  t.match(unknown, { code: 1, reply: { error: { code: 'unknown-node' } } });
});

t.test(
  'its moves keep to what was asked of them: a blackout that is too long, a moment that does not come',
  async (t) => {
    const late = await evacuate('node-a', '--concurrency', '1', '--max-blackout', '1ms');
    t.match(late, { code: 1, reply: { state: 'stopped', stopped: { code: 'evacuation-put-backs' } } });
    const codes = late.reply.moves.map(({ error }: { error?: { code: string } }) => error?.code);
    t.strictSame(codes, ['blackout-exceeded', 'blackout-exceeded', 'blackout-exceeded', undefined]);
    t.strictSame(new Set(Object.values(await where())), new Set(['node-a']));
    const { reply } = await evacuate('node-a', '--anew', '--dry-run', '--when', 'call-end', '--deadline', '5s');
    t.match(reply.conditions, { when: 'call-end', deadlineMs: 5_000, after: 'give-up' });
  },
);

t.test('an evacuation whose agent is killed goes on where it was, when that is asked for', async (t) => {
  const { reply } = await evacuate('node-a', '--dry-run');
  const { stdout } = await world.holdfast('workloads', '--json');
  const stored: readonly WorkloadInfo[] = JSON.parse(stdout);
  // The last two wait for shims that give no answer, each for as long as a shim may take: time enough to kill the agent.
  const shims = await Promise.all(
    reply.moves.slice(2).map(async ({ workload }: { workload: string }) => {
      const socket = join(world.directory, 'state/workloads', workload, 'shim.sock');
      const { pid } = await callControl(shimContract, { path: socket }, 'status', {});
      const tree = stored.find(({ name }) => name === workload);
      return outerPid(processTree(tree?.pid ?? 0, tree?.isolated ?? false), pid) ?? 0;
    }),
  );
  signal(shims, 'SIGSTOP');
  t.teardown(() => signal(shims, 'SIGCONT'));
  const words = ['evacuate', 'node-a', '--anew', '--mover', 'relink', '--concurrency', '1', ...world.files];
  const asking = world.start('asking', 'center', node(world.programs.holdfast, ...words));
  await asking.printed(/2\/4/);
  const agent = world.agent('node-a');
  agent.child.kill('SIGKILL');
  await agent.ended;
  t.match(await asking.ended, { code: 1, stderr: /agent-unreachable/ });
  signal(shims, 'SIGCONT');
  await world.restartAgent('node-a');
  t.match(await evacuate('node-a'), { code: 1, reply: { error: { code: 'evacuation-unfinished' } } });
  const resumed = await evacuate('node-a', '--resume');
  t.match(resumed, { code: 0, reply: { state: 'done', moves: names.map(() => ({ state: 'moved' })) } });
  t.strictSame(leftBehind(resumed.reply), []);
  const now = await where();
  t.notOk(Object.values(now).includes('node-a'));
  t.not(now['orders-1'], now['orders-2']);
});

t.test('a node whose agent is away takes nothing, and with none left it is refused', async (t) => {
  await world.agent('node-c').stop();
  const { reply } = await evacuate('node-b', '--dry-run');
  t.match(reply.targets, [{ node: 'node-a' }, { node: 'node-c', out: { code: 'agent-unreachable' } }]);
  t.match(await evacuate('node-b', '--to', 'node-c'), { code: 1, reply: { error: { code: 'no-target' } } });
  // It ends what it has, with the installation.
  await world.restartAgent('node-c');
});
