import fc from 'fast-check';
import t from 'tap';
import { afterMarker, type BreakPhase, breakPhases, CallTracker, type RequestKind } from '../../../proxy/track/call.js';

/** Phase by marker: driver break, driver reset, database break, database reset. */
const table: Record<BreakPhase, [BreakPhase, BreakPhase, BreakPhase, BreakPhase]> = {
  none: ['asked', 'resetting', 'asked', 'reset-first'],
  asked: ['asked', 'resetting', 'asked', 'reset-first'],
  'reset-first': ['reset-first', 'draining', 'reset-first', 'reset-first'],
  resetting: ['resetting', 'resetting', 'resetting', 'draining'],
  draining: ['asked', 'draining', 'draining', 'draining'],
};

t.test('break phases by markers', async (t) => {
  for (const phase of breakPhases) {
    const actual = (['driver', 'database'] as const).flatMap((side) =>
      (['break', 'reset'] as const).map((kind) => afterMarker(phase, side, kind)),
    );
    t.strictSame(actual, table[phase], phase);
  }
});

/** A tracker with one call in flight and the markers seen. */
function inPhase(phase: BreakPhase): CallTracker {
  const calls = new CallTracker();
  calls.request('call');
  if (phase !== 'none') calls.marker('driver', 'break');
  if (phase === 'reset-first') calls.marker('database', 'reset');
  if (phase === 'resetting' || phase === 'draining') calls.marker('driver', 'reset');
  if (phase === 'draining') calls.marker('database', 'reset');
  if (calls.state().breakPhase !== phase) throw new Error(`in phase ${calls.state().breakPhase}, not ${phase}`);
  return calls;
}

t.test('end of a response by break phase: what it means, what is in flight, where the handshake is', async (t) => {
  const expected: Record<BreakPhase, [string, number, BreakPhase]> = {
    none: ['call-ended', 0, 'none'],
    asked: ['call-ended', 0, 'asked'],
    'reset-first': ['call-ended', 0, 'reset-first'],
    resetting: ['discarded', 1, 'resetting'],
    draining: ['call-ended', 0, 'none'],
  };
  for (const phase of breakPhases) {
    const calls = inPhase(phase);
    calls.response();
    t.strictSame([calls.responseEnded(), calls.inFlight, calls.state().breakPhase], expected[phase], phase);
  }
});

t.test('a request of a driver ends any handshake, and tells when an answer passed unseen', async (t) => {
  const missed: Record<BreakPhase, boolean> = {
    none: false,
    asked: false,
    'reset-first': false,
    resetting: true,
    draining: true,
  };
  for (const phase of breakPhases) {
    const calls = inPhase(phase);
    t.equal(calls.request('call'), missed[phase], phase);
    t.equal(calls.state().breakPhase, 'none');
  }
});

t.test('a break that overtakes the answer: the answer, the handshake, then the ERROR', async (t) => {
  const calls = new CallTracker();
  calls.request('call');
  calls.marker('driver', 'break');
  calls.response();
  t.equal(calls.responseEnded(), 'call-ended');
  t.equal(calls.state().breakPhase, 'asked', 'not idle: the driver will reset');
  calls.marker('database', 'break');
  calls.marker('driver', 'reset');
  calls.marker('database', 'reset');
  calls.marker('database', 'reset');
  calls.response();
  t.equal(calls.responseEnded(), 'call-ended');
  t.strictSame([calls.inFlight, calls.state().breakPhase], [0, 'none']);
});

t.test('one-way functions are not in flight', async (t) => {
  const calls = new CallTracker();
  t.equal(calls.request('one-way'), false);
  t.strictSame([calls.inFlight, calls.state().calls], [0, 0]);
});

t.test('FLUSH OUT BINDS goes on with the same call, whether or not its first part looked like the end', async (t) => {
  for (const looksEnded of [false, true]) {
    const calls = new CallTracker();
    calls.request('call');
    calls.response();
    if (looksEnded) calls.responseEnded();
    t.equal(calls.request('flush'), false);
    t.strictSame([calls.inFlight, calls.state().calls], [1, 1]);
    calls.response();
    calls.responseEnded();
    t.equal(calls.inFlight, 0);
  }
});

t.test('a request while an answer is being read proves that the answer ended unseen', async (t) => {
  const calls = new CallTracker();
  calls.request('call');
  calls.response();
  t.equal(calls.request('call'), true);
  t.equal(calls.inFlight, 1);
});

t.test('bytes of a response with no call in flight: the call that seemed to be over goes on', async (t) => {
  const calls = new CallTracker();
  calls.request('call');
  calls.response();
  calls.responseEnded();
  calls.response();
  t.strictSame([calls.inFlight, calls.state().calls], [1, 1]);
  t.equal(calls.responseEnded(), 'call-ended');
  t.equal(calls.inFlight, 0);
});

t.test('the end of a response that had no bytes is not counted', async (t) => {
  const calls = new CallTracker();
  t.equal(calls.responseEnded(), 'discarded');
  t.equal(calls.inFlight, 0);
});

t.test('in a pipeline requests do not wait for answers, and markers start no handshake', async (t) => {
  const calls = new CallTracker();
  calls.request('pipeline-begin');
  calls.request('call');
  calls.response();
  t.equal(calls.request('call'), false);
  calls.marker('driver', 'break');
  calls.marker('database', 'break');
  t.equal(calls.state().breakPhase, 'none');
  calls.request('pipeline-end');
  t.strictSame([calls.inFlight, calls.state().pipelined], [4, true]);
  for (let left = 4; left > 0; left--) {
    t.equal(calls.state().pipelined, true);
    calls.responseEnded();
  }
  t.strictSame([calls.inFlight, calls.state().pipelined], [0, false]);
});

t.test(
  'whatever comes in whatever order, the count is never negative and a full exchange leads back to idle',
  async (t) => {
    const kinds: RequestKind[] = ['call', 'one-way', 'flush', 'pipeline-begin', 'pipeline-end'];
    const step = fc.oneof(
      fc.constantFrom(...kinds).map((kind) => (calls: CallTracker) => void calls.request(kind)),
      fc.constant((calls: CallTracker) => calls.response()),
      fc.constant((calls: CallTracker) => void calls.responseEnded()),
      fc
        .tuple(
          fc.constantFrom('driver' as const, 'database' as const),
          fc.constantFrom('break' as const, 'reset' as const),
        )
        .map(
          ([side, kind]) =>
            (calls: CallTracker) =>
              calls.marker(side, kind),
        ),
    );
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const calls = new CallTracker();
        for (const apply of steps) {
          apply(calls);
          if (calls.inFlight < 0) return false;
        }
        calls.request('pipeline-end');
        for (let left = calls.inFlight; left > 0; left--) calls.responseEnded();
        calls.request('call');
        calls.response();
        calls.responseEnded();
        return calls.inFlight === 0 && calls.state().breakPhase === 'none' && !calls.state().pipelined;
      }),
    );
    t.pass();
  },
);
