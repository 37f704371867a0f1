import t from 'tap';
import { CodedError } from '../../../shim/program/errors.js';
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

t.test('an error with a code is told without a stack, and any other with one', async (t) => {
  const lines: string[] = [];
  const log = makeLoggerTo({ write: (line) => lines.push(line) }, 'test', 'info');
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' });
  log.warn({ err: new CodedError('no-cheese', 'backend', 'there is none', { cause: refused }), shop: 1 }, 'closed');
  log.error({ err: new TypeError('undefined is not a function') }, 'ours');
  log.error({ err: Object.assign(new Error('bad'), { code: 'ERR_INVALID_ARG_TYPE' }) }, 'ours too');
  log.error({ err: 'a string' }, 'thrown by somebody');
  const [coded, plain, fault, text] = lines.map((line) => JSON.parse(line));
  t.match(coded, {
    code: 'no-cheese',
    shop: 1,
    err: { type: 'CodedError', source: 'backend', message: 'there is none', cause: { code: 'ECONNREFUSED' } },
  });
  t.notMatch(lines[0], /stack/);
  t.match(plain.err.stack, /log\.test/);
  t.match(fault.err.stack, /log\.test/);
  t.equal(text.err, 'a string');
});
