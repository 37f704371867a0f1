import fc from 'fast-check';
import t from 'tap';
import { Admission, type AdmissionLimits } from '../../proxy/admission.js';

const limits: AdmissionLimits = {
  bindsPerSecond: 100,
  bindsAtOnce: 10,
  streamsPerBind: 50,
  appointmentsMax: 1_000,
  appointmentMs: 5_000,
};

t.test(
  'after a time of quiet a burst binds at once, and the next are given appointments one behind the other',
  async (t) => {
    const admission = new Admission(limits);
    const waits = Array.from({ length: 14 }, (_, index) => admission.ask(`w${index}`, 0, 1_000));
    t.strictSame(waits.slice(0, 10), Array(10).fill(0));
    t.strictSame(waits.slice(10), [10, 20, 30, 40]);
  },
);

t.test('who comes at his appointment binds, who comes before is told the same time again', async (t) => {
  const admission = new Admission({ ...limits, bindsAtOnce: 1 });
  admission.ask('first', 0, 0);
  t.equal(admission.ask('second', 0, 0), 10);
  for (let index = 0; index < 5; index += 1) admission.ask(`crowd ${index}`, 0, 0);
  t.equal(admission.ask('late', 0, 0), 70);
  t.equal(admission.ask('late', 0, 20), 50, 'coming early gains nothing');
  t.equal(admission.ask('second', 0, 10), 0, 'whatever the crowd does');
  t.equal(admission.ask('second', 0, 10), 70, 'once: cut again at once it waits behind all others');
});

t.test('new ones do not overtake those who wait', async (t) => {
  const admission = new Admission({ ...limits, bindsAtOnce: 1 });
  for (let index = 0; index < 50; index += 1) admission.ask(`w${index}`, 0, 0);
  t.ok(admission.ask('new', 0, 100) >= 400 - 1);
});

t.test('a bind with many streams costs more', async (t) => {
  const admission = new Admission({ ...limits, bindsAtOnce: 1 });
  t.equal(admission.ask('large', 500, 0), 0);
  t.equal(admission.ask('next', 0, 0), 110);
});

t.test('appointments are remembered up to a limit, and those that nobody keeps are forgotten', async (t) => {
  const admission = new Admission({ ...limits, bindsAtOnce: 1, appointmentsMax: 3 });
  for (let index = 0; index < 10; index += 1) admission.ask(`w${index}`, 0, 0);
  t.equal(admission.appointments, 3);
  t.equal(admission.ask('w9', 0, 0), 40, 'told the time after the last');
  t.equal(admission.ask('other', 0, 6_000), 0);
  t.equal(admission.appointments, 0);
});

t.test(
  'whatever comes, no second sees more binds than its rate and a burst, and everybody who keeps his time gets in',
  async (t) => {
    const arrivals = fc.array(fc.nat(3_000), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(arrivals, (timesMs) => {
        const admission = new Admission(limits);
        const events = timesMs.map((atMs, index) => ({ atMs, key: `w${index}`, tries: 0 }));
        const boundAtMs: number[] = [];
        while (events.length > 0) {
          events.sort((one, other) => one.atMs - other.atMs);
          const next = events.shift();
          if (next === undefined) break;
          const waitMs = admission.ask(next.key, 0, next.atMs);
          if (waitMs === 0) boundAtMs.push(next.atMs);
          else if (next.tries > 0) throw new Error(`${next.key} kept its time and was sent away again`);
          else events.push({ ...next, atMs: next.atMs + waitMs, tries: 1 });
        }
        for (const [index, fromMs] of boundAtMs.entries()) {
          const later = boundAtMs[index + limits.bindsPerSecond + limits.bindsAtOnce];
          if (later !== undefined && later < fromMs + 1_000 - 20) throw new Error(`too many binds after ${fromMs}`);
        }
        if (boundAtMs.length !== timesMs.length) throw new Error('somebody never got in');
      }),
      { numRuns: 200 },
    );
    t.pass();
  },
);
