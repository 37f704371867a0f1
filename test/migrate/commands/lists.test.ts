import t from 'tap';
import { sessionColumns } from '../../../migrate/commands/lists.js';
import { renderTable } from '../../../migrate/output.js';
import type { SessionRow } from '../../../proxy/control/contract.js';

function row(protection: SessionRow['protection']): SessionRow {
  return {
    ...{ workload: 'orders', instance: 'i', stream: 1, state: 'bound', address: '10.0.0.1', database: '' },
    ...{ phase: 'ready', user: 'APP', sid: 12, serial: 34, protection },
    protocol: { version: 319, sduBytes: 8_192, endOfResponse: true, fieldVersion: 24 },
    ...{ callsInFlight: 0, callsTotal: 1, lastError: 0, pipelined: false, breakPhase: 'none', request: 'none' },
    ...{ transaction: 'none', movable: true, reason: 'idle', detail: '', bytes: { fromDriver: 0, fromDatabase: 0 } },
  };
}
const states: SessionRow['protection'][] = ['protected', 'tls', 'connecting', 'being-kept', 'no-journal', 'over'];

t.test('sessions says of each whether it is protected against a worker crash, and if not why', async (t) => {
  const [head = '', ...lines] = renderTable(sessionColumns, states.map(row), Number.POSITIVE_INFINITY)
    .trimEnd()
    .split('\n');
  const from = head.indexOf('PROTECTED');
  const to = head.indexOf('MOVABLE');
  t.ok(from > 0);
  t.strictSame(
    lines.map((line) => line.slice(from, to).trim()),
    ['yes', 'no: tls', 'no: connecting', 'no: being-kept', 'no: no-journal', 'no: over'],
  );
});

t.test('a narrow terminal does without it, and keeps who the session is and what it does', async (t) => {
  const [head = ''] = renderTable(sessionColumns, [row('tls')], 80).split('\n');
  t.notMatch(head, /PROTECTED/);
  t.match(head, /WORKLOAD +SID +SERIAL#.*DOING +TRANSACTION/);
});
