import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';

t.test('programs that tests start are as users start them: nothing of tap is loaded into them', async (t) => {
  const words = ['--print', 'String(process.env.NODE_OPTIONS) + process.execArgv.length'];
  t.equal(execFileSync(process.execPath, words, { encoding: 'utf8' }), 'undefined2\n');
  const env = { ...process.env, NODE_OPTIONS: '--no-warnings' };
  t.equal(spawnSync(process.execPath, words, { encoding: 'utf8', env }).stdout, '--no-warnings2\n');
});
