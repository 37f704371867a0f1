import t from 'tap';
import { LinkError } from '../../../shim/link/errors.js';
import type { Epoch } from '../../../shim/link/frame.js';
import { deadlineMs, type InitiatorEvent, type InitiatorState, step } from '../../../shim/link/initiator.js';
import type { Rejected, ResumeOk } from '../../../shim/link/resume.js';
import { type ShimEvent, shimEvents, shimTable } from './table.js';

const limits = { retryMs: 100, retryMsMax: 1000, handshakeMs: 500 };
const answer: ResumeOk = {
  version: 1,
  epoch: 1 as Epoch,
  token: Buffer.alloc(32),
  lastStream: 0,
  sentTotal: 0,
  receivedTotal: 0,
  windowBytes: 1,
  streams: [],
  replayedBytes: 0,
};
const no = (verdict: Rejected['verdict']): InitiatorEvent => ({
  kind: 'rejected',
  answer: { version: 1, verdict, reason: 'because', retryAfterMs: 300 },
});
const error = new LinkError('link-closed', 'cut');

const states = {
  detached: { kind: 'detached' },
  waiting: { kind: 'waiting', attempt: 1, untilMs: 2000 },
  connecting: { kind: 'connecting', attempt: 1, untilMs: 2000 },
  resuming: { kind: 'resuming', attempt: 1, untilMs: 2000 },
  bound: { kind: 'bound' },
  refused: { kind: 'refused', verdict: 'stale-epoch', reason: 'because' },
} as const satisfies Record<InitiatorState['kind'], InitiatorState>;

const events = {
  attach: { kind: 'attach' },
  detach: { kind: 'detach' },
  connected: { kind: 'connected' },
  RESUME_OK: { kind: 'resume-ok', answer },
  REJECTED: no('stale-epoch'),
  'try-later': no('try-later'),
  cut: { kind: 'cut', error, jitter: 0 },
  early: { kind: 'tick', jitter: 0 },
  deadline: { kind: 'tick', jitter: 0 },
} as const satisfies Record<ShimEvent, InitiatorEvent>;

t.test('every state answers every event as the table says', async (t) => {
  for (const state of Object.values(states)) {
    for (const event of shimEvents) {
      const result = step(state, events[event], event === 'deadline' ? 2000 : 1000, limits);
      const actions = result.actions.map((action) => action.kind).join(', ');
      const seen = actions === '' ? result.state.kind : `${result.state.kind}: ${actions}`;
      t.equal(
        result.state === state || seen === state.kind ? '-' : seen,
        shimTable[state.kind][event],
        `${state.kind} x ${event}`,
      );
    }
  }
});

t.test('pauses double up to the limit and are shortened by at most half', async (t) => {
  const pauses: number[] = [];
  let state: InitiatorState = { kind: 'connecting', attempt: 0, untilMs: 0 };
  for (let i = 0; i < 6; i += 1) {
    state = step(state, { kind: 'cut', error, jitter: 0 }, 0, limits).state;
    pauses.push(deadlineMs(state) ?? -1);
    state = step(state, { kind: 'tick', jitter: 0 }, 1e6, limits).state;
  }
  t.strictSame(pauses, [100, 200, 400, 800, 1000, 1000]);
  const shortened = step({ kind: 'resuming', attempt: 0, untilMs: 0 }, { kind: 'cut', error, jitter: 1 }, 0, limits);
  t.equal(deadlineMs(shortened.state), 50);
});

t.test('try-later waits as long as the proxy asks', async (t) => {
  t.equal(deadlineMs(step(states.resuming, no('try-later'), 1000, limits).state), 1300);
});

t.test('a link that was bound is dialled again at once', async (t) => {
  const result = step(states.bound, { kind: 'cut', error, jitter: 1 }, 1000, limits);
  t.match(result.state, { kind: 'connecting', attempt: 0 });
});
