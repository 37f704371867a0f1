import t from 'tap';
import { makeLoggerTo } from '../../../shim/program/log.js';

t.test('secrets and tokens never reach the log', async (t) => {
  const lines: string[] = [];
  const log = makeLoggerTo({ write: (line) => lines.push(line) }, 'test', 'info');
  log.info({ token: 'one', link: { secret: 'two', epoch: 3 }, a: { b: { password: 'three' } } }, 'bound');
  const line = lines.join('');
  t.notMatch(line, /one|two|three/);
  t.match(JSON.parse(line), { name: 'test', msg: 'bound', token: '[redacted]', link: { epoch: 3 } });
});

t.test('lines below the level are not written', async (t) => {
  const lines: string[] = [];
  const log = makeLoggerTo({ write: (line) => lines.push(line) }, 'test', 'warn');
  log.info('quiet');
  log.warn('loud');
  t.equal(lines.length, 1);
});
