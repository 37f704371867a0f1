import t from 'tap';
import type { SealedRecord } from '../../migrate/history.js';
import { asMarkdown, asText } from '../../migrate/shown-record.js';

const sealed: SealedRecord = {
  ...{ n: 7, prev: '', hash: 'abc' },
  record: {
    ...{ move: 'm1', workload: 'orders', mover: 'criu', outcome: 'put-back', running: 'source', resumes: 1 },
    ...{
      startedAt: '2026-11-22T18:00:00.000Z',
      endedAt: '2026-11-22T18:00:01.000Z',
      by: { user: 'ann', host: 'desk' },
    },
    ...{ from: { node: 'node-a', address: '10.0.0.1' }, to: { node: 'node-b', address: '' } },
    phases: [{ phase: 'detach', ms: 1.5 }],
    blackoutMs: { total: 250, detach: 1.5, freeze: 0, transfer: 0, restore: 0, bind: 0 },
    ...{ epoch: { before: 1, after: 1 }, replayedBytes: { up: 10, down: 20 }, warnings: [] },
    error: { code: 'restore-failed', message: 'a | b', phase: 'restore', source: 'runs on as before' },
    sessions: [
      {
        ...{ stream: 1, user: 'APP', sid: 12, serial: 345, same: true },
        transaction: { before: 'open', after: 'open' },
        callsInFlight: { before: 1, after: 0 },
        hashes: {
          up: { from: 0, to: 8_123, shim: '00c0ffee', proxy: '00c0ffee', same: true },
          down: { from: 0, to: 4_321, shim: '0000beef', proxy: '0000dead', same: false },
        },
      },
    ],
  },
};

t.test('a record says what happened, to which session, how long it took and who asked', async (t) => {
  for (const text of [asText(sealed), asMarkdown(sealed)]) {
    for (const part of [
      'm1',
      'orders',
      'restore-failed',
      'ann of desk',
      '250 ms',
      '345',
      'detach',
      '1.5 ms',
      'open',
      'abc',
      'c0ffee',
      '8123',
      'dead',
      'NO',
    ])
      t.match(text, part);
  }
});

t.test('a bar in a text does not break a table of markdown', async (t) => {
  t.match(asMarkdown(sealed), 'a \\| b |');
});
