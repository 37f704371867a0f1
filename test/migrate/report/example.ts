import type { Report, RunReport } from '../../../migrate/report/model.js';

const good: RunReport = {
  name: 'withheld <answers>',
  about: 'COMMIT is delivered & its answer never comes',
  seed: 7,
  passed: true,
  failures: [],
  seconds: 12.5,
  transactions: 321,
  faultsActed: 9,
  faults: [
    { kind: 'withhold before-response commit', acts: 6 },
    { kind: 'move', acts: 3 },
  ],
  acts: [{ rule: 'withheld', session: 1, match: 3 }],
  verdict: {
    consistent: true,
    lost: 0,
    duplicated: 0,
    wrong: 0,
    operations: 324,
    committed: 300,
    rolledBackOnPurpose: 21,
    rolledBack: 3,
    unknown: 6,
    unknownCommitted: 3,
    unknownAsked: 5,
    anomalies: [],
    errors: { 'NJS-500': 6 },
  },
  timeline: {
    lengthMs: 12_500,
    lanes: [
      { name: 'faults', group: '', spans: [], marks: [{ kind: 'fault', atMs: 4_000, label: 'withhold <here>' }] },
      {
        name: 'session 1',
        group: 'orders',
        spans: [
          { kind: 'ok', beganMs: 100, endedMs: 900, label: 'append, operation 1: ok' },
          { kind: 'fail', beganMs: 3_900, endedMs: 4_100, label: 'append, operation 2: fail' },
          { kind: 'blackout', beganMs: 6_000, endedMs: 6_400, label: 'move' },
        ],
        marks: [{ kind: 'bind', atMs: 6_400, label: 'bind 2' }],
      },
    ],
  },
};

const bad: RunReport = {
  ...good,
  name: 'spoilt',
  passed: false,
  failures: ['step 1: no "fault" acted'],
  verdict: {
    ...good.verdict,
    consistent: false,
    lost: 1,
    anomalies: [{ name: 'lost-append', operations: [42], detail: 'committed, and not there' }],
  },
};

export const example: Report = {
  title: 'scenarios',
  startedAt: '2026-11-22T21:00:00.000Z',
  version: '0.1.0',
  passed: false,
  seconds: 25,
  runs: [good, bad],
};
