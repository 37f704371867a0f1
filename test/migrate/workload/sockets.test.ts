import { createServer } from 'node:net';
import t from 'tap';
import { isLoopback, parseTcpTable, socketInodes, tcpTable } from '../../../migrate/workload/sockets.js';

// Lines of /proc/net/tcp and tcp6 on a little-endian machine.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:05F1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 02004D0A:A410 01004D0A:1CE8 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 20 4 30 10 -1
   2: 00000000000000000000000001000000:05F2 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4713 1 0000 100 0 0 10 0
   3: 0000000000000000FFFF00000100007F:05F3 0000000000000000FFFF00000100007F:05F4 01 00000000:00000000 00:00000000 00000000 0 0 4714 1 0000 100 0 0 10 0
`;

t.test('addresses and states are read from the tables of the kernel', async (t) => {
  t.same(parseTcpTable(table), [
    { local: { host: '127.0.0.1', port: 1521 }, remote: { host: '0.0.0.0', port: 0 }, listening: true, inode: '4711' },
    {
      local: { host: '10.77.0.2', port: 42000 },
      remote: { host: '10.77.0.1', port: 7400 },
      listening: false,
      inode: '4712',
    },
    { local: { host: '::1', port: 1522 }, remote: { host: '::', port: 0 }, listening: true, inode: '4713' },
    {
      local: { host: '127.0.0.1', port: 1523 },
      remote: { host: '127.0.0.1', port: 1524 },
      listening: false,
      inode: '4714',
    },
  ]);
});

t.test('the sockets of a process are found among those of the machine', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  t.match(
    tcpTable('self').find(({ inode, local }) => local.port === port && socketInodes(process.pid).includes(inode)),
    { listening: true, local: { host: '127.0.0.1' } },
  );
  t.same(socketInodes(0), []);
});

t.test('loopback is 127.0.0.0/8 and ::1', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1']) t.ok(isLoopback(host), host);
  for (const host of ['10.77.0.1', '::', '0.0.0.0']) t.notOk(isLoopback(host), host);
});
