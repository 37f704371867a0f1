import t from 'tap';
import type { SessionTracker } from '../../proxy/track/session.js';
import { accepted, now } from '../proxy/track/tracked.js';
import { today } from '../proxy/track/wire.js';
import { connectBytes, conversation, type Exchange, loadNames, loadOf, loads } from './conversation.js';

function pass(tracker: SessionTracker, { request, answer }: Exchange): void {
  tracker.fromDriver(request, now);
  tracker.fromDatabase(answer, now);
}

for (const load of loadNames) {
  t.test(`${load}: what is said is a session and its calls to the proxy`, async (t) => {
    const { login, call } = conversation(load);
    t.equal(call.request.length, loads[load].requestBytes);
    t.equal(call.answer.length, loads[load].answerBytes);
    const tracker = accepted(today, { nativeServices: load === 'blind' });
    for (const exchange of login.slice(1)) pass(tracker, exchange);
    const before = tracker.view();
    for (let count = 0; count < 10; count += 1) pass(tracker, call);
    const { phase, calls, transaction } = tracker.view();
    if (load === 'blind') {
      t.equal(phase, 'opaque', 'nobody looks');
      t.equal(tracker.movability().reason, 'opaque');
      return;
    }
    if (load === 'churn') {
      t.equal(before.phase, 'logged-off');
      return;
    }
    t.equal(before.phase, 'ready');
    t.strictSame([calls.total - before.calls.total, calls.inFlight, calls.lastError], [10, 0, 0]);
    t.equal(transaction.kind, 'none');
    t.equal(tracker.movability().reason, 'idle');
  });
}

t.test('a CONNECT names its load, and all have the same length', async (t) => {
  for (const load of loadNames) {
    const [first] = conversation(load).login;
    t.equal(first?.request.length, connectBytes);
    t.equal(loadOf(first?.request ?? Buffer.alloc(0)), load);
  }
  t.equal(loadOf(Buffer.from('SERVICE_NAME=other')), undefined);
});
