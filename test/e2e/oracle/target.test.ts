import t from 'tap';
import { parseTarget } from './target.js';

t.test('JSON and URLs name the same database', async (t) => {
  const json = parseTarget('{"connectString": "db:1521/orders", "user": "app", "password": "p@ss/word"}');
  const url = parseTarget('oracle://app:p%40ss%2Fword@db:1521/orders');
  t.match(json, { user: 'app', password: 'p@ss/word', connectString: 'db:1521/orders', database: 'db:1521' });
  t.match(url, { user: 'app', password: 'p@ss/word', connectString: 'db:1521/orders', database: 'db:1521' });
  t.match(parseTarget('tcps://app:x@db:2484/orders'), {
    database: 'tcps://db:2484',
    connectString: 'tcps://db:2484/orders',
  });
  const through = json.through({ host: '127.0.0.1', port: 7 });
  t.equal(
    through,
    '(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=7))(CONNECT_DATA=(SERVICE_NAME=orders)))',
  );
});

t.test('what names none is refused, without the password in the error', async (t) => {
  for (const text of ['{"connectString": "nothing", "user": "app", "password": "sesame"}', 'http://app:sesame@db/x']) {
    try {
      parseTarget(text);
      t.fail(text);
    } catch (error) {
      t.notMatch(String(error), /sesame/);
    }
  }
});
