import t from 'tap';
import { type ConnectAction, ConnectPhase, type Settled } from '../../../proxy/backend/connect-phase.js';
import { BackendError } from '../../../proxy/backend/errors.js';
import { defaultBackendLimits } from '../../../proxy/backend/limits.js';

const address = { host: 'db', port: 1521 };

/** A packet of the connect phase, built without the codec under test. */
function packet(type: number, body: Buffer, flags = 0): Buffer {
  const header = Buffer.from([0, 0, 0, 0, type, flags, 0, 0]);
  header.writeUInt16BE(8 + body.length, 0);
  return Buffer.concat([header, body]);
}

const data = (text: string) => packet(6, Buffer.concat([Buffer.from([0, 0]), Buffer.from(text, 'latin1')]));

/** A CONNECT that offers out-of-band breaks; its connect data inline or in a DATA packet behind. */
function connect(connectData: string, inline = true): Buffer {
  const fields = Buffer.alloc(66);
  fields.writeUInt16BE(319, 0);
  fields.writeUInt16BE(300, 2);
  fields.writeUInt16BE(0x0401, 4);
  fields.writeUInt16BE(8192, 6);
  fields.writeUInt16BE(connectData.length, 16);
  fields.writeUInt16BE(74, 18);
  fields.writeUInt32BE(8192, 50);
  fields.writeUInt32BE(0x3, 62);
  if (inline) return packet(1, Buffer.concat([fields, Buffer.from(connectData)]));
  return Buffer.concat([packet(1, fields), data(connectData)]);
}

/** An ACCEPT of version 319 that agrees to out-of-band breaks. */
function accept(): Buffer {
  const body = Buffer.alloc(53);
  body.writeUInt16BE(319, 0);
  body.writeUInt16BE(0x0c41, 2);
  body.writeUInt32BE(8192, 24);
  body.writeUInt32BE(0x12000001, 33);
  return packet(2, body);
}

function redirect(text: string, flags = 0, overflow = false): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(text.length, 0);
  if (overflow) return Buffer.concat([packet(5, length, flags), data(text)]);
  return packet(5, Buffer.concat([length, Buffer.from(text, 'latin1')]), flags);
}

const refuse = (text: string) => packet(4, Buffer.concat([Buffer.from([34, 0, 0, text.length]), Buffer.from(text)]));
const resend = (flags = 0) => packet(11, Buffer.alloc(0), flags);
const descriptor = '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)))';
const other = '(ADDRESS=(PROTOCOL=TCP)(HOST=node2)(PORT=1522))';

function start(limits = {}): ConnectPhase {
  return new ConnectPhase({ addresses: [address], limits: { ...defaultBackendLimits, ...limits } });
}

/** In state `answering`. */
function answering(limits = {}): ConnectPhase {
  const phase = start(limits);
  phase.fromDriver(connect(descriptor));
  phase.dialed();
  return phase;
}

const kinds = (actions: readonly ConnectAction[]) => actions.map((action) => action.kind);
const codeOf = (actions: readonly ConnectAction[]) =>
  actions.flatMap((action) => (action.kind === 'fail' ? [action.error.code] : []))[0];
const sent = (actions: readonly ConnectAction[]) =>
  Buffer.concat(actions.flatMap((action) => (action.kind === 'send' ? [action.bytes] : [])));
const answer = (actions: readonly ConnectAction[]) =>
  Buffer.concat(actions.flatMap((action) => (action.kind === 'answer' ? [action.bytes] : [])));
const settledOf = (actions: readonly ConnectAction[]): Settled | undefined =>
  actions.flatMap((action) => (action.kind === 'settled' ? [action] : []))[0];

t.test('the database is dialed when the CONNECT is whole, wherever it is cut', async (t) => {
  for (const bytes of [connect(descriptor), connect(descriptor, false)]) {
    for (let cut = 0; cut < bytes.length; cut++) {
      const phase = start();
      t.strictSame(phase.fromDriver(bytes.subarray(0, cut)), []);
      t.match(phase.fromDriver(bytes.subarray(cut)), [
        { kind: 'dial', address, origin: address, connectData: descriptor },
      ]);
      t.equal(phase.state, 'dialing');
    }
  }
});

t.test('the CONNECT goes out without the out-of-band bits and otherwise as it came', async (t) => {
  for (const inline of [true, false]) {
    const bytes = connect(descriptor, inline);
    const phase = start();
    phase.fromDriver(bytes);
    const expected = Buffer.from(bytes);
    expected.writeUInt16BE(0x0001, 12);
    expected.writeUInt32BE(0x2, 70);
    t.strictSame(sent(phase.dialed()), expected);
  }
});

t.test('the ACCEPT goes to the driver without the out-of-band bits, wherever it is cut', async (t) => {
  const bytes = accept();
  const behind = Buffer.from([1, 2, 3]);
  for (let cut = 1; cut <= bytes.length; cut++) {
    const phase = answering();
    const first = phase.fromDatabase(bytes.subarray(0, cut));
    const actions = cut === bytes.length ? first : phase.fromDatabase(Buffer.concat([bytes.subarray(cut), behind]));
    const expected = Buffer.from(bytes);
    expected.writeUInt16BE(0x0841, 10);
    expected.writeUInt32BE(0x12000000, 41);
    t.strictSame(answer(actions), expected);
    const settled = settledOf(actions);
    t.equal(settled?.outcome.kind, 'accepted');
    t.equal(settled?.answeredBytes, connect(descriptor).length);
    t.equal(settled?.connectData, descriptor);
    if (cut < bytes.length) t.strictSame(settled?.fromDatabase, behind);
    t.equal(phase.state, 'settled');
  }
});

t.test('a REFUSE of the listener goes to the driver as it is', async (t) => {
  const bytes = refuse('(DESCRIPTION=(ERR=12514))');
  const actions = answering().fromDatabase(bytes);
  t.strictSame(answer(actions), bytes);
  t.match(settledOf(actions)?.outcome, { kind: 'refused', number: 12514 });
});

t.test('RESEND is answered with the same CONNECT, and not for ever', async (t) => {
  const phase = start({ resendsMax: 2 });
  phase.fromDriver(connect(descriptor, false));
  const first = sent(phase.dialed());
  t.strictSame(sent(phase.fromDatabase(resend())), first);
  t.strictSame(sent(phase.fromDatabase(resend())), first);
  t.equal(codeOf(phase.fromDatabase(resend())), 'database-too-many-redirects');
});

t.test('RESEND with a new TLS handshake is an error with a code', async (t) => {
  const actions = answering().fromDatabase(resend(0x08));
  t.equal(codeOf(actions), 'database-wants-tls');
  t.match(answer(actions).toString('latin1'), /\(ERR=12560\)/);
});

t.test('REDIRECT is followed with the flag "redirected" and the connect data of the redirect', async (t) => {
  const target = '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)(INSTANCE_NAME=two)))';
  for (const overflow of [false, true]) {
    const phase = answering();
    const actions = phase.fromDatabase(redirect(`${other}\0${target}`, 0x02, overflow));
    t.match(actions, [{ kind: 'dial', address: { host: 'node2', port: 1522 }, origin: address }]);
    const bytes = sent(phase.dialed());
    const expected = connect(target);
    expected.writeUInt16BE(0x0001, 12);
    expected.writeUInt32BE(0x2, 70);
    expected[5] = 0x04;
    t.strictSame(bytes, expected);
    t.strictSame(phase.address, { host: 'node2', port: 1522 });
    t.equal(settledOf(phase.fromDatabase(accept()))?.outcome.kind, 'accepted');
  }
});

t.test('REDIRECT without connect data repeats those of the driver', async (t) => {
  const phase = answering();
  phase.fromDatabase(redirect(other));
  t.ok(sent(phase.dialed()).includes(descriptor));
});

t.test('redirects have a limit', async (t) => {
  const phase = answering({ redirectsMax: 1 });
  t.strictSame(kinds(phase.fromDatabase(redirect(other))), ['dial']);
  phase.dialed();
  t.equal(codeOf(phase.fromDatabase(redirect(other))), 'database-too-many-redirects');
});

t.test('a redirect that cannot be followed is an error with a code', async (t) => {
  for (const text of [
    'nowhere',
    '(ADDRESS=(PROTOCOL=TCP)(HOST=node2))',
    '(ADDRESS=(PROTOCOL=TCP)(HOST=node2)(PORT=99999))',
    '(ADDRESS=(PROTOCOL=BEQ)(HOST=node2)(PORT=1522))',
    '(DESCRIPTION=(CONNECT_DATA=(SID=x)))',
  ]) {
    const actions = answering().fromDatabase(redirect(text));
    t.equal(codeOf(actions), 'database-redirect-unusable', text);
    t.match(answer(actions).toString('latin1'), /\(ERR=12235\)/);
  }
});

t.test('a driver that is no Oracle Net client costs no connection to the database', async (t) => {
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), data('x'), packet(1, Buffer.alloc(4))]) {
    const phase = start();
    const actions = phase.fromDriver(bytes);
    t.strictSame(kinds(actions), ['fail']);
    t.equal(codeOf(actions), 'driver-not-oracle-net');
    t.equal(phase.state, 'failed');
  }
});

t.test('connect data in DATA packets that are empty, or in another packet, is an error', async (t) => {
  const whole = connect(descriptor, false);
  const head = whole.subarray(0, 74);
  for (const next of [data(''), resend()]) {
    t.equal(codeOf(start().fromDriver(Buffer.concat([head, next]))), 'driver-not-oracle-net');
  }
});

t.test('TLS from the driver passes through unread', async (t) => {
  const hello = Buffer.from('160301020001', 'hex');
  const phase = start();
  t.match(phase.fromDriver(hello), [{ kind: 'dial', address }]);
  t.strictSame(phase.fromDriver(Buffer.from([9])), []);
  const settled = settledOf(phase.dialed());
  t.equal(settled?.outcome.kind, 'opaque');
  t.strictSame(settled?.fromDriver, Buffer.concat([hello, Buffer.from([9])]));
  t.equal(settled?.answeredBytes, 0);
});

t.test('TLS to a database that cannot be reached ends without a REFUSE, which TLS would not understand', async (t) => {
  const phase = start();
  phase.fromDriver(Buffer.from('160301020001', 'hex'));
  t.strictSame(kinds(phase.dialFailed({ code: 'ECONNREFUSED', message: 'refused' })), ['fail']);
});

t.test('bytes behind the CONNECT wait for the answer, up to a limit', async (t) => {
  const phase = answering({ earlyBytesMax: 4 });
  t.strictSame(phase.fromDriver(Buffer.from([1, 2])), []);
  t.strictSame(phase.fromDriver(Buffer.from([3, 4])), []);
  t.strictSame(settledOf(phase.fromDatabase(accept()))?.fromDriver, Buffer.from([1, 2, 3, 4]));
  const greedy = answering({ earlyBytesMax: 4 });
  t.equal(codeOf(greedy.fromDriver(Buffer.alloc(5))), 'driver-too-early');
});

t.test('what is no answer to a CONNECT is an error with a code', async (t) => {
  for (const bytes of [
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    Buffer.from('HTTP/1.0 400 Bad Request\r\n'),
    data('x'),
    packet(2, Buffer.alloc(3)),
    Buffer.concat([redirect(other, 0, true).subarray(0, 10), resend()]),
  ]) {
    const actions = answering().fromDatabase(bytes);
    t.equal(codeOf(actions), 'database-not-oracle-net');
    t.match(answer(actions).toString('latin1'), /\(ERR=12592\)/);
  }
});

t.test('a database that cannot be reached is a REFUSE with the number for it', async (t) => {
  const expected = {
    ECONNREFUSED: ['database-no-listener', 12541],
    ETIMEDOUT: ['database-dial-timeout', 12535],
    EHOSTUNREACH: ['database-unreachable', 12543],
    ENETUNREACH: ['database-unreachable', 12543],
    ENOTFOUND: ['database-unknown-host', 12545],
    EAI_AGAIN: ['database-unknown-host', 12545],
    EMFILE: ['database-dial-failed', 12560],
  } as const;
  for (const [system, [code, number]] of Object.entries(expected)) {
    const phase = start();
    phase.fromDriver(connect(descriptor));
    const actions = phase.dialFailed({ code: system, message: system });
    t.strictSame(kinds(actions), ['answer', 'fail']);
    t.equal(codeOf(actions), code);
    const bytes = answer(actions);
    t.equal(bytes[4], 4);
    t.equal(bytes.readUInt16BE(0), bytes.length);
    t.ok(bytes.includes(`(ERR=${number})`));
  }
});

t.test('each state has its own error when time runs out or the database goes', async (t) => {
  const dialing = start();
  dialing.fromDriver(connect(descriptor));
  t.equal(codeOf(start().timedOut()), 'driver-connect-timeout');
  t.strictSame(kinds(start().timedOut()), ['fail']);
  t.equal(codeOf(dialing.timedOut()), 'database-dial-timeout');
  const late = answering().timedOut();
  t.equal(codeOf(late), 'database-answer-timeout');
  t.match(answer(late).toString('latin1'), /\(ERR=12535\)/);
  const gone = answering().databaseEnded();
  t.equal(codeOf(gone), 'database-closed-early');
  t.match(answer(gone).toString('latin1'), /\(ERR=12537\)/);
});

t.test('a driver that is not let in gets a REFUSE when its CONNECT is whole, and nothing is dialed', async (t) => {
  for (const [code, number] of [
    ['proxy-sessions', 12516],
    ['proxy-stopping', 12528],
  ] as const) {
    const refused = new BackendError(code, 'no');
    const phase = new ConnectPhase({ addresses: [address], limits: defaultBackendLimits, refused });
    const bytes = connect(descriptor, false);
    t.strictSame(phase.fromDriver(bytes.subarray(0, -1)), [], 'it has not said yet where it wants to go');
    const actions = phase.fromDriver(bytes.subarray(-1));
    t.strictSame(kinds(actions), ['answer', 'fail']);
    t.match(answer(actions).toString('latin1'), new RegExp(`\\(ERR=${number}\\)`));
    t.equal(codeOf(actions), code);
    const encrypted = new ConnectPhase({ addresses: [address], limits: defaultBackendLimits, refused });
    const hello = Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    t.strictSame(kinds(encrypted.fromDriver(hello)), ['fail'], 'one that speaks TLS understands no REFUSE');
  }
});
