/** Several listeners behind one proxy: failover and load balancing when a session is made. */
import t from 'tap';
import { defaultBackendLimits } from '../../../../proxy/backend/limits.js';
import { dialOrder, formatTarget, parseTarget } from '../../../../proxy/backend/target.js';
import { address, connect, connectError, forward, listener, server, service, works } from './stand.js';

const refused = (number: number) => ({ kind: 'refuse', text: `(DESCRIPTION=(ERR=${number}))` }) as const;
const quick = { ...defaultBackendLimits, answerMs: 300, connectMs: 30_000 };

t.test('the next listener gets the session when one is down, is silent, hangs up, babbles, or refuses', async (t) => {
  const database = await server(t);
  const down = await listener(t, () => ({ kind: 'silence' }));
  await down.close();
  const others = [
    await listener(t, () => ({ kind: 'silence' })),
    await listener(t, () => ({ kind: 'hang-up' })),
    await listener(t, () => ({ kind: 'say', bytes: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') })),
    await listener(t, () => refused(12514)),
    await listener(t, () => ({ kind: 'redirect', address: 'nowhere' })),
    await listener(t, () => ({ kind: 'redirect', address: address(down) })),
    await listener(t, () => ({ kind: 'resend' })),
    await listener(t, () => ({ kind: 'resend', tls: true })),
  ];
  const good = await listener(t, () => forward(database));
  const { connection, front } = await connect(t, [down, ...others, good], { limits: quick });
  await works(t, connection);
  t.equal(front.sessions[0]?.describe().database.port, good.port);
  for (const other of others) t.ok(other.requests.length > 0, 'it was asked');
  t.equal(good.requests[0]?.redirected, false, 'what one listener said about redirects is not told to the next');
});

t.test('each listener has all its redirects and resends, whatever those before it have used', async (t) => {
  const database = await server(t);
  const down = await listener(t, () => ({ kind: 'silence' }));
  await down.close();
  const first = await listener(t, (_request, all) =>
    all.length < 2 ? { kind: 'resend' } : { kind: 'redirect', address: address(down) },
  );
  const second = await listener(t, (_request, all) =>
    all.length < 2 ? { kind: 'resend' } : { kind: 'redirect', address: address(database) },
  );
  const limits = { ...quick, redirectsMax: 1, resendsMax: 1 };
  await works(t, (await connect(t, [first, second], { limits })).connection);
});

t.test('when no listener takes the session the driver gets the answer of the last one', async (t) => {
  const standby = await listener(t, () => refused(12514));
  const full = await listener(t, () => refused(12516));
  const down = await listener(t, () => ({ kind: 'silence' }));
  await down.close();
  t.match((await connectError(t, [standby, full])).message, /ORA-12516/);
  t.match((await connectError(t, [full, standby])).message, /NJS-518|ORA-12514/);
  t.match((await connectError(t, [full, down])).message, /ORA-12541/);
});

t.test('the last listener has all the time that is left, the others answerMs', async (t) => {
  const silent = await listener(t, () => ({ kind: 'silence' }));
  const began = performance.now();
  const error = await connectError(t, [silent, silent], { limits: { ...quick, answerMs: 100, connectMs: 1_000 } });
  t.match(error.message, /ORA-12535/);
  t.ok(performance.now() - began > 990, 'only connectMs has ended it');
  t.equal(silent.requests.length, 2);
});

t.test('a connect timeout of the whole phase holds over all listeners', async (t) => {
  const silent = await listener(t, () => ({ kind: 'silence' }));
  const many = Array.from({ length: 50 }, () => silent);
  const error = await connectError(t, many, { limits: { ...quick, answerMs: 100, connectMs: 250 } });
  t.match(error.message, /ORA-12535/);
  t.ok(silent.requests.length <= 3);
});

t.test('--database takes an address, a list, or a descriptor', async (t) => {
  const order = (text: string, random = () => 0) => {
    const target = parseTarget(text);
    return target === undefined ? undefined : dialOrder(target, random);
  };
  t.strictSame(order('db:1521'), [{ host: 'db', port: 1521 }]);
  t.strictSame(order('tcps://db:2484, [::1]:1521'), [
    { host: 'db', port: 2484, tls: true },
    { host: '::1', port: 1521 },
  ]);
  const at = (host: string, protocol = 'TCP') => `(ADDRESS=(PROTOCOL=${protocol})(HOST=${host})(PORT=1521))`;
  const data = `(CONNECT_DATA=(SERVICE_NAME=${service}))`;
  t.strictSame(order(`(DESCRIPTION=${at('a', 'tcps')}${data})`), [{ host: 'a', port: 1521, tls: true }]);
  const hosts = (text: string, random?: () => number) => order(text, random)?.map(({ host }) => host);
  const lists = `(DESCRIPTION_LIST=(DESCRIPTION=(ADDRESS_LIST=${at('a')}${at('b')})(ADDRESS_LIST=${at('c')}))(DESCRIPTION=${at('d')}))`;
  t.strictSame(hosts(lists), ['a', 'b', 'c', 'd']);
  const balanced = `(DESCRIPTION=(ADDRESS_LIST=(LOAD_BALANCE=on)${at('a')}${at('b')}${at('c')}))`;
  t.strictSame(
    hosts(balanced, () => 0.5),
    ['b', 'c', 'a'],
  );
  t.strictSame(
    hosts(balanced.replace('on', 'off'), () => 0.5),
    ['a', 'b', 'c'],
  );
  t.strictSame(hosts(`(DESCRIPTION=(FAILOVER=off)${at('a')}${at('b')})`), ['a'], 'FAILOVER=off tries one');
  t.strictSame(
    hosts(`(DESCRIPTION_LIST=(LOAD_BALANCE=yes)(DESCRIPTION=${at('a')}${at('b')})(DESCRIPTION=${at('c')}))`, () => 0.9),
    ['c', 'a', 'b'],
  );
  const target = parseTarget('tcps://db:2484,db2:1521');
  t.equal(target && formatTarget(target), 'tcps://db:2484,db2:1521');
  t.match(
    parseTarget(`(DESCRIPTION=${at('a', 'tcps')}(SECURITY=(SSL_SERVER_CERT_DN="CN=db,O=x")(SSL_SERVER_DN_MATCH=no)))`),
    {
      dn: 'CN=db,O=x',
      dnMatch: false,
    },
  );
});

t.test('what is no address of a database is refused', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => `db${index}:1521`).join(',');
  t.equal(parseTarget(many(64))?.lists[0]?.addresses.length, 64);
  for (const text of [
    '',
    'db',
    'db:0',
    'db:99999',
    'db:1521,',
    'http://db:1',
    '(',
    '(DESCRIPTION=)',
    '(A=b)',
    many(65),
  ]) {
    t.equal(parseTarget(text), undefined, text.slice(0, 20));
  }
  t.equal(parseTarget('(DESCRIPTION=(ADDRESS=(PROTOCOL=BEQ)(HOST=a)(PORT=1)))'), undefined);
});

t.test('load balancing begins with each address about as often', async (t) => {
  const target = parseTarget('(DESCRIPTION=(LOAD_BALANCE=on)(ADDRESS=(HOST=a)(PORT=1))(ADDRESS=(HOST=b)(PORT=1)))');
  const first = new Map<string, number>();
  for (let round = 0; round < 1000 && target !== undefined; round++) {
    const host = dialOrder(target, Math.random)[0]?.host ?? '';
    first.set(host, (first.get(host) ?? 0) + 1);
  }
  t.ok((first.get('a') ?? 0) > 400 && (first.get('b') ?? 0) > 400);
});
