import t from 'tap';
import { parseConnectString } from '../../../migrate/doctor/connect-string.js';

t.test('easy connect and descriptors name an address and a service', async (t) => {
  const easy = parseConnectString('db:1522/orders');
  t.match(easy, { host: 'db', port: 1522, tls: false });
  t.match(
    easy?.connectData,
    /\(ADDRESS=\(PROTOCOL=tcp\)\(HOST=db\)\(PORT=1522\)\)\(CONNECT_DATA=\(SERVICE_NAME=orders\)/,
  );
  t.match(parseConnectString('db/orders'), { host: 'db', port: 1521 });
  t.match(parseConnectString('//db:1522/orders'), { host: 'db', port: 1522 });
  t.match(parseConnectString('[::1]:1522/orders'), { host: '::1', port: 1522 });
  t.match(parseConnectString('tcps://db:2484/orders?ssl_server_dn_match=no'), { host: 'db', port: 2484, tls: true });
  t.match(parseConnectString('db:1522/orders:pooled')?.connectData, /\(SERVER=pooled\)/);
  const text =
    '(DESCRIPTION=(ADDRESS=(PROTOCOL=TCPS)(HOST=a)(PORT=2484))(ADDRESS=(HOST=b)(PORT=1))(CONNECT_DATA=(SID=x)))';
  t.strictSame(parseConnectString(text), { host: 'a', port: 2484, tls: true, connectData: text });
});

t.test('what names no host or no service is none', async (t) => {
  for (const text of [
    '',
    'db',
    'db:1521',
    'db:0/orders',
    'db:99999/x',
    '/orders',
    'http://db/orders',
    '(',
    '(DESCRIPTION=(CONNECT_DATA=(SID=x)))',
    '(ADDRESS=(HOST=a)(PORT=1))',
    '(DESCRIPTION=(ADDRESS=(PROTOCOL=BEQ)(HOST=a)(PORT=1))(CONNECT_DATA=(SID=x)))',
  ]) {
    t.equal(parseConnectString(text), undefined, text);
  }
});
