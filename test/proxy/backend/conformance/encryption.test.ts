/** Native network encryption: carried byte for byte, its framing watched, nothing claimed of what is inside. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { openChain } from '../../../../fixtures/captures/chain.js';
import { Stage } from '../../../../fixtures/captures/play.js';
import { formatAddress } from '../../../../shim/program/address.js';
import { accept, bytes, connect, data, database, driver, marker, play, playThrough, same } from './transcript.js';

/** As random as ciphertext, and the same in each run. */
function cipher(seed: string, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < length; at += 32) blocks.push(createHash('sha256').update(`${seed} ${at}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

const services = { services: 0x00 };
const magic = Buffer.from('deadbeef', 'hex');
/** The negotiation as sqlplus and a 12c server have it: services 4 (supervisor), 1, 2 (encryption), 3 (integrity). */
const negotiation = [
  driver(connect(services)),
  database(accept(services)),
  driver(data(bytes(magic, cipher('client offer', 140)))),
  database(data(bytes(magic, cipher('server choice', 120)))),
];

const encrypted = [
  ...negotiation,
  driver(data(cipher('protocol', 60))),
  database(data(cipher('protocol reply', 200))),
  driver(data(cipher('login', 700))),
  database(data(cipher('session', 1500))),
  driver(data(cipher('call', 8182)), data(cipher('more', 300))),
  database(data(cipher('answer', 8182)), data(cipher('answer, too', 99))),
  driver(marker('interrupt')),
  database(marker('break')),
  driver(marker('reset')),
  database(marker('reset'), data(cipher('error', 80))),
];

t.test('an encrypted session is opaque: its bytes pass, its transaction is unknown, with the reason', async (t) => {
  const result = await play(t, encrypted);
  same(t, result);
  t.match(result.last, {
    phase: 'opaque',
    transaction: { kind: 'unknown', reason: 'opaque' },
    movability: { movable: 'unknown', reason: 'opaque', detail: 'native network encryption' },
  });
  t.ok(
    result.tracks.every(({ movability }) => movability.movable !== true),
    'at no moment it was said to be movable',
  );
});

t.test('ciphertext that looks like a call, or like the end of one, is not taken for it', async (t) => {
  const commit = bytes(3, 14, 1, 0);
  const idle = Buffer.from('09000000', 'hex');
  const result = await play(t, [
    ...negotiation,
    driver(data(cipher('protocol', 60))),
    database(data(cipher('protocol reply', 200))),
    driver(data(commit)),
    database(data(idle, 0x2000)),
  ]);
  same(t, result);
  t.match(result.last.movability, { movable: 'unknown', reason: 'opaque' });
});

t.test('services that agree to no encryption leave a session that can be watched', async (t) => {
  const result = await play(t, [
    ...negotiation,
    driver(data(bytes(1, 6, 0, 'driver\0'))),
    database(data(bytes(1, 6, 0, 'x\0'))),
  ]);
  same(t, result);
  t.equal(result.last.phase, 'login');
  t.not(result.last.movability.reason, 'opaque');
});

t.test(
  'checksums and ciphertext arrive exactly once when the link is taken away in the middle, at every turn',
  async (t) => {
    const stage = await Stage.open();
    const chain = await openChain(formatAddress(stage.address));
    t.teardown(async () => {
      await chain.close();
      await stage.close();
    });
    let holds = 0;
    const hold = async (side: string, turn: number): Promise<void> => {
      if (turn < 1) return;
      await chain.detach();
      holds += 1;
      // What is sent now waits at both ends.
      if (side === 'driver') void Promise.resolve().then(() => chain.attach());
      else await chain.attach();
    };
    same(t, await playThrough(stage, chain, encrypted, { onTurn: hold }));
    t.ok(holds > 10, `${holds} holds`);
  },
);
