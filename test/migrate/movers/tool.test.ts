import t from 'tap';
import { lastErrors } from '../../../migrate/movers/tool.js';

// Lines of CRIU 4.2 logs.
const log = `(00.042304) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.048851) Error (criu/cr-dump.c:1528): A session leader of 13945(1) is outside of its pid namespace
(00.049194) 	Unseizing 13946 into 1
(00.049454) Error (criu/cr-dump.c:1975): Dumping FAILED.
`;

t.test('the reason is taken from the log, not the line that says that it failed', async (t) => {
  t.equal(lastErrors(log), 'A session leader of 13945(1) is outside of its pid namespace');
  t.equal(lastErrors(log.split('\n').at(-2) ?? ''), 'Dumping FAILED.');
  t.equal(lastErrors('no errors here'), '');
});

t.test('what runc says of itself counts as well', async (t) => {
  const line =
    'time="2026-11-22T22:37:38Z" level=error msg="runc run failed: container with given ID already exists"\n';
  t.equal(lastErrors(line), 'runc run failed: container with given ID already exists');
});
