import t from 'tap';
import {
  encodeMarker,
  encodeNotification,
  encodeRedirect,
  encodeRefuse,
  isNativeServices,
  parseControl,
  parseMarker,
  parseRedirect,
  parseRefuse,
  redirectTarget,
  refuseError,
} from '../../../proxy/tns/index.js';
import { ascii, be, hex, packet } from './bytes.js';

const refusal = '(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR=12514)(ERROR_STACK=(ERROR=(CODE=12514)(EMFI=4))))';

t.test('REFUSE carries its reasons and the TNS number', async (t) => {
  const bytes = packet(4, `2200${be(refusal.length, 2)}${ascii(refusal)}`, { u16: true });
  t.strictSame(parseRefuse(bytes, 'backend'), {
    userReason: 0x22,
    systemReason: 0,
    textBytes: refusal.length,
    text: refusal,
  });
  t.equal(refuseError(refusal), 12514);
  t.equal(refuseError('(DESCRIPTION=)'), undefined);
  t.strictSame(encodeRefuse(refusal, { user: 0x22, system: 0 }), [bytes]);
});

t.test('a long REFUSE text follows in a DATA packet', async (t) => {
  const long = refusal.padEnd(231, ' ');
  const [head, tail] = encodeRefuse(long, { user: 1, system: 2 });
  t.equal(parseRefuse(head ?? Buffer.alloc(0), 'backend').text, undefined);
  t.equal(tail?.toString('latin1', 10), long);
  t.throws(() => parseRefuse(hex('000a 0000 04 00 0000 2200'), 'backend'), { code: 'field-invalid' });
  t.throws(() => parseRefuse(hex('000c 0000 04 00 0000 2200 8000'), 'backend'), { code: 'connect-data-too-long' });
});

const address = '(ADDRESS=(PROTOCOL=TCP)(HOST=10.0.0.2)(PORT=1521))';

t.test('REDIRECT gives an address, and connect data behind a NUL when its flag says so', async (t) => {
  const plain = packet(5, `${be(address.length, 2)}${ascii(address)}`, { u16: true });
  const parsed = parseRedirect(plain, 'backend');
  t.strictSame(redirectTarget(0, parsed.data ?? Buffer.alloc(0)), { address, connectData: undefined });
  t.strictSame(encodeRedirect({ address, connectData: undefined }, { overflow: false }), [plain]);

  const both = packet(5, `${be(address.length + 5, 2)}${ascii(address)}00${ascii('(A=)')}`, { u16: true, flags: 2 });
  const target = { address, connectData: '(A=)' };
  t.strictSame(redirectTarget(2, parseRedirect(both, 'backend').data ?? Buffer.alloc(0)), target);
  t.strictSame(encodeRedirect(target, { overflow: false }), [both]);
  const [head, tail] = encodeRedirect(target, { overflow: true });
  t.strictSame(parseRedirect(head ?? Buffer.alloc(0), 'backend'), { dataBytes: address.length + 5, data: undefined });
  t.strictSame(redirectTarget(2, tail?.subarray(10) ?? Buffer.alloc(0)), target);
  t.throws(() => parseRedirect(hex('0009 0000 05 00 0000 00'), 'backend'), { code: 'field-invalid' });
  t.throws(() => parseRedirect(hex('000a 0000 05 00 0000 8000'), 'backend'), { code: 'connect-data-too-long' });
});

t.test('markers', async (t) => {
  t.equal(parseMarker(hex('0000000b 0c 00 0000 010001'), 'frontend'), 'break');
  t.equal(parseMarker(hex('0000000b 0c 00 0000 010002'), 'frontend'), 'reset');
  t.equal(parseMarker(hex('0000000b 0c 00 0000 010003'), 'frontend'), 'interrupt');
  t.equal(parseMarker(hex('0000000b 0c 00 0000 020000'), 'frontend'), 'attention');
  t.equal(parseMarker(hex('0000000b 0c 00 0000 010009'), 'frontend'), 'unknown');
  t.equal(parseMarker(hex('0000000b 0c 00 0000 000000'), 'frontend'), 'break', 'a marker without data is a break');
  t.throws(() => parseMarker(hex('00000008 0c 00 0000'), 'frontend'), { code: 'field-invalid' });
  t.strictSame(encodeMarker('reset', 'u32'), hex('0000000b 0c 00 0000 010002'));
});

t.test('in-band notifications', async (t) => {
  const shutdown = hex('00000016 0e 00 0000 0008 00000014 0000311c 00000000');
  t.strictSame(parseControl(shutdown, 'backend'), { kind: 'notification', facility: 20, error: 12572, detail: 0 });
  t.strictSame(encodeNotification({ facility: 20, error: 12572, detail: 0 }, 'u32'), shutdown);
  t.strictSame(parseControl(hex('0000000a 0e 00 0000 0009'), 'backend'), { kind: 'clear-out-of-band' });
  t.strictSame(parseControl(hex('0000000a 0e 00 0000 0007'), 'backend'), { kind: 'unknown', command: 7 });
  t.throws(() => parseControl(hex('00000009 0e 00 0000 00'), 'backend'), { code: 'field-invalid' });
  t.throws(() => parseControl(shutdown.subarray(0, 21), 'backend'), { code: 'field-invalid' });
});

t.test('native services negotiation is recognised by its first four bytes', async (t) => {
  t.ok(isNativeServices(hex('deadbeef 009a')));
  t.notOk(isNativeServices(hex('deadbe')));
  t.notOk(isNativeServices(hex('0106050403')));
});
