/**
 * The proof that `npm run test:tracker` is one: its program does what it says, and a tracker that is wrong is found. Beside the
 * mutants below these were made in the code once, and each was found within 25 calls: ERROR messages are not read, a
 * transaction once open stays open, a request is taken to end with its first packet.
 */
import t from 'tap';
import { openDatabase } from '../../fixtures/oracle/postgres.js';
import { personalityNames, personalityOf } from '../../fixtures/oracle/wire/personality.js';
import type { SessionTrack } from '../../proxy/track/view.js';
import { actions } from './actions.js';
import { runTrial } from './trial.js';

const database = await openDatabase({ services: ['freepdb1'], users: { scott: 'tiger' } });
t.teardown(() => database.close());

const seed = Number(process.env.HOLDFAST_SEED ?? Date.now() % 2 ** 30);
const callsInTest = 200;

for (const name of personalityNames) {
  t.test(`${name}: after every call of a random program tracker and driver say the same`, async (t) => {
    t.comment(`HOLDFAST_SEED=${seed}`);
    const trial = await runTrial({ database, personality: personalityOf(name), seed, calls: callsInTest });
    t.strictSame(trial.disagreements, []);
    t.ok(trial.calls >= callsInTest);
    t.ok(trial.transactions > 5, `${trial.transactions} transactions`);
    for (const [action, { answers }] of Object.entries(actions)) {
      const seen = [...(trial.answers.get(action) ?? [])];
      t.ok(seen.length > 0, `${action} was done`);
      t.strictSame(
        seen.filter((answer) => !answers.includes(answer)),
        [],
        `${action} ended as it may`,
      );
    }
  });
}

const mutants: Readonly<Record<string, (track: SessionTrack, before: SessionTrack | undefined) => SessionTrack>> = {
  'forgets what a failed call left open': (track) =>
    track.calls.lastError === 0 ? track : { ...track, transaction: { kind: 'none' } },
  'is one call behind': (track, before) =>
    before === undefined ? track : { ...track, transaction: before.transaction },
  'counts a broken call twice': (track) =>
    track.calls.lastError === 1013 ? { ...track, calls: { ...track.calls, inFlight: 1 } } : track,
};

for (const [name, mutate] of Object.entries(mutants)) {
  t.test(`a tracker that ${name} is found, with its seed`, async (t) => {
    let before: SessionTrack | undefined;
    const look = (track: SessionTrack): SessionTrack => {
      const shown = mutate(track, before);
      before = track;
      return shown;
    };
    const personality = personalityOf('19c');
    const trial = await runTrial({ database, personality, seed, calls: callsInTest, look });
    t.ok(trial.disagreements.length > 0);
    t.match(trial.disagreements[0], { seed, call: Number, trail: Array });
    t.ok(trial.calls < callsInTest || trial.disagreements.length < 3, 'a hopeless trial is given up');
  });
}
