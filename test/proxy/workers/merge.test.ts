import t from 'tap';
import type { StatusRow } from '../../../proxy/control/contract.js';
import { mergeAudit, mergeStatus, named } from '../../../proxy/workers/merge.js';

function row(workerPid: number, more: Partial<StatusRow> = {}): StatusRow {
  return {
    version: '1.0.0',
    keeperPid: 1,
    workerPid,
    startedAt: '2026-01-01T00:00:00.000Z',
    before: 'none',
    taken: { sessions: 1, lost: 0 },
    sessions: 10,
    protectedSessions: 9,
    journal: { directory: '/journal', bytes: 100 },
    ...more,
  };
}

t.test('the status of several workers is a sum, the latest alarm, and a row for each', async (t) => {
  const alarm = (at: string) => ({ alarm: 'crashed', why: at, at });
  const journal = { directory: '/other', bytes: 5, broken: 'no space' };
  const parts = [
    { worker: 0, reply: row(100, { alarm: alarm('2026-01-01') }) },
    { worker: 2, reply: row(102, { alarm: alarm('2026-01-03'), taken: { sessions: 0, lost: 2 }, journal }) },
    { worker: 1, reply: row(101) },
  ];
  const missing = [{ worker: 3, why: 'no answer' }];
  t.match(mergeStatus(parts, missing), {
    workerPid: 100,
    sessions: 30,
    protectedSessions: 27,
    taken: { sessions: 2, lost: 2 },
    alarm: { why: '2026-01-03' },
    journal: { directory: '/journal', bytes: 205, broken: 'no space' },
    workers: [
      { worker: 0, workerPid: 100 },
      { worker: 2, workerPid: 102 },
      { worker: 1, workerPid: 101 },
    ],
    missing,
  });
  const calm = mergeStatus([{ worker: 0, reply: row(100) }], []);
  t.notOk('alarm' in calm);
  t.notOk('missing' in calm);
});

t.test('the audit log fails when one worker cannot write it', async (t) => {
  const state = { path: '/audit', isFailing: false, waitingBytes: 1, lostLines: 0 };
  const failing = { ...state, isFailing: true, waitingBytes: 10, lostLines: 3 };
  t.strictSame(mergeAudit([state, undefined, failing]).audit, { ...failing, waitingBytes: 11 });
  t.strictSame(mergeAudit([undefined]), {}, 'there is none');
});

t.test('nobody is named when all have answered', async (t) => {
  t.strictSame(named([]), {});
});
