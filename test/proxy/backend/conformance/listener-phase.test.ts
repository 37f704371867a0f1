/** REDIRECT, RESEND and REFUSE as RAC, SCAN and CMAN use them; the driver sees a session or the listener's own refusal. */
import oracledb from 'oracledb';
import t from 'tap';
import { defaultBackendLimits } from '../../../../proxy/backend/limits.js';
import { address, connect, connectError, forward, listener, server, service, works } from './stand.js';

const descriptor = (port: number, more = '', data = `(SERVICE_NAME=${service})`) =>
  `(DESCRIPTION=${more}(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=${port}))(CONNECT_DATA=${data}))`;

for (const overflow of [false, true]) {
  const where = overflow ? 'with its address in a DATA packet behind' : 'with its address inside';
  t.test(`a REDIRECT ${where} is followed by the proxy, as SCAN and a remote listener use it`, async (t) => {
    const database = await server(t);
    const node = await listener(t, () => forward(database));
    const scan = await listener(t, () => ({ kind: 'redirect', address: address(node), overflow }));
    const { connection, front } = await connect(t, scan);
    await works(t, connection);
    t.equal(scan.connections, 1, 'the driver itself has connected to nobody but the shim');
    t.equal(node.requests.length, 1);
    t.ok(node.requests[0]?.redirected, 'the CONNECT says that a REDIRECT led there');
    t.equal(node.requests[0]?.connectData, scan.requests[0]?.connectData, "the driver's connect data is kept");
    t.equal(front.sessions[0]?.describe().database.port, node.port);
  });
}

t.test('a REDIRECT with connect data of its own is followed with those', async (t) => {
  const database = await server(t);
  const node = await listener(t, () => forward(database));
  const data = descriptor(
    node.port,
    '',
    `(SERVICE_NAME=${service})(INSTANCE_NAME=orcl2)${'(CID=(PROGRAM=x))'.repeat(20)}`,
  );
  const scan = await listener(t, () => ({
    kind: 'redirect',
    address: address(node),
    connectData: data,
    overflow: true,
  }));
  const { connection } = await connect(t, scan);
  await works(t, connection);
  t.equal(node.requests[0]?.connectData, data);
});

t.test('a REDIRECT to a list of addresses goes to the first, as drivers do', async (t) => {
  const database = await server(t);
  const node = await listener(t, () => forward(database));
  const list = `(DESCRIPTION=(ADDRESS_LIST=${address(node)}${address({ host: '127.0.0.1', port: 1 })}))`;
  const scan = await listener(t, () => ({ kind: 'redirect', address: list }));
  await works(t, (await connect(t, scan)).connection);
});

t.test('a chain of REDIRECTs is followed up to its limit', async (t) => {
  const database = await server(t);
  const last = await listener(t, () => forward(database));
  const third = await listener(t, () => ({ kind: 'redirect', address: address(last) }));
  const second = await listener(t, () => ({ kind: 'redirect', address: address(third) }));
  const first = await listener(t, () => ({ kind: 'redirect', address: address(second) }));
  await works(t, (await connect(t, first, { limits: { ...defaultBackendLimits, redirectsMax: 3 } })).connection);
  const error = await connectError(t, first, { limits: { ...defaultBackendLimits, redirectsMax: 2 } });
  t.match(error.message, /ORA-12235/);
});

t.test('listeners that send a driver round in a circle get no session, and no endless loop', async (t) => {
  const circle = await listener(t, () => ({ kind: 'redirect', address: address(circle) }));
  t.match((await connectError(t, circle)).message, /ORA-12235/);
  t.equal(circle.requests.length, defaultBackendLimits.redirectsMax + 1);
});

t.test('RESEND gets the same CONNECT again, long connect data included', async (t) => {
  const database = await server(t);
  const busy = await listener(t, (_request, all) => (all.length < 3 ? { kind: 'resend' } : forward(database)));
  const long = `(SERVICE_NAME=${service})(CID=(PROGRAM=${'p'.repeat(250)})(HOST=h)(USER=u))`;
  const { connection } = await connect(t, busy, { connectString: (port) => descriptor(port, '', long) });
  await works(t, connection);
  t.equal(busy.requests.length, 3);
  t.ok((busy.requests[0]?.connectData.length ?? 0) > 230, 'connect data came in a DATA packet');
  t.strictSame(busy.requests[1]?.bytes, busy.requests[0]?.bytes);
  t.strictSame(busy.requests[2]?.bytes, busy.requests[0]?.bytes);
});

t.test('a RESEND that asks for TLS on a plain connection is refused with a hint', async (t) => {
  const odd = await listener(t, () => ({ kind: 'resend', tls: true }));
  t.match((await connectError(t, odd)).message, /ORA-12560/);
});

for (const [size, padding] of [
  ['inside', ''],
  ['with its text in a DATA packet behind', `(TEXT=${'x'.repeat(300)})`],
] as const) {
  t.test(`a REFUSE ${size} reaches the driver whole`, async (t) => {
    const text = `(DESCRIPTION=(TMP=)(VSNNUM=301989888)(ERR=12516)(ERROR_STACK=(ERROR=(CODE=12516)(EMFI=4)))${padding})`;
    const full = await listener(t, () => ({ kind: 'refuse', text }));
    const heard: Buffer[] = [];
    const error = await connectError(t, full, { watch: (from, bytes) => from === 'database' && heard.push(bytes) });
    t.match(error.message, /ORA-12516/);
    t.ok(Buffer.concat(heard).includes(text));
    t.match((await straightError(full.port)).message, /ORA-12516/, 'as without the proxy');
  });
}

t.test('SOURCE_ROUTE in the descriptor of a driver leads through shim and proxy, and passes unchanged', async (t) => {
  const database = await server(t);
  const cman = await listener(t, () => forward(database));
  const routed = (port: number) =>
    `(DESCRIPTION=(SOURCE_ROUTE=yes)(ADDRESS_LIST=(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=${port}))${address(cman)})(CONNECT_DATA=(SERVICE_NAME=${service})))`;
  const { connection } = await connect(t, cman, { connectString: routed });
  await works(t, connection);
  t.match(cman.requests[0]?.connectData, /SOURCE_ROUTE=yes/i);
});

t.test('address lists of a driver work: a dead address first, the shim second', async (t) => {
  const database = await server(t);
  const gone = await listener(t, () => ({ kind: 'silence' }));
  await gone.close();
  const list = (port: number) =>
    `(DESCRIPTION=(ADDRESS_LIST=(FAILOVER=on)${address(gone)}(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=${port})))(CONNECT_DATA=(SERVICE_NAME=${service})))`;
  await works(t, (await connect(t, database, { connectString: list })).connection);
});

async function straightError(port: number): Promise<Error> {
  const connectString = `127.0.0.1:${port}/${service}`;
  return oracledb.getConnection({ user: 'u', password: 'p', connectString }).then(
    () => new Error('the driver has connected'),
    (error: Error) => error,
  );
}
