import { join } from 'node:path';
import t from 'tap';
import { agentAddress, loadCluster } from '../../migrate/cluster.js';

const good = `
nodes:
  node-a: { agent: "10.77.0.2:7410" }
  node-b: { agent: "[::1]:7410" }
proxy: { data: "10.77.0.1:7400", control: "10.77.0.1:7401" }
`;

t.test('nodes and proxy are read from the file', async (t) => {
  const cluster = loadCluster(join(t.testdir({ 'c.yaml': good }), 'c.yaml'));
  t.same(agentAddress(cluster, 'node-b'), { host: '::1', port: 7410 });
  t.same(cluster.proxy.control, { host: '10.77.0.1', port: 7401 });
});

t.test('a node that is not in the file is unknown', async (t) => {
  const cluster = loadCluster(join(t.testdir({ 'c.yaml': good }), 'c.yaml'));
  const expected = { code: 'unknown-node', message: 'there is no node node-c; the cluster file names node-a, node-b' };
  t.throws(() => agentAddress(cluster, 'node-c'), expected);
  t.throws(() => agentAddress(cluster, 'constructor'), { code: 'unknown-node' });
});

t.test('what is wrong in the file is named with its place', async (t) => {
  const load = (content: string) => () => loadCluster(join(t.testdir({ 'c.yaml': content }), 'c.yaml'));
  t.throws(load(good.replace('10.77.0.2:7410', 'x')), {
    code: 'bad-file',
    message: /c.yaml: nodes.node-a.agent: expected HOST:PORT/,
  });
  t.throws(load(good.replace('data', 'dta')), { message: /proxy/ });
  t.throws(load(''), { code: 'bad-file' });
});
