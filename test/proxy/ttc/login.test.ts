import t from 'tap';
import {
  negotiateCapabilities,
  readDataTypesRequest,
  readFastAuthRequest,
  readLoginReply,
  readLoginRequest,
  readProtocolReply,
} from '../../../proxy/ttc/index.js';
import { ascii, be, hex } from '../tns/bytes.js';

function pair(key: string, value: string, flags = '00'): string {
  const part = (text: string): string =>
    text === '' ? '00' : `01${be(text.length, 1)}${be(text.length, 1)}${ascii(text)}`;
  return part(key) + part(value) + flags;
}

/** Compile capabilities with a field version and ttc1. */
function compile(fieldVersion: number, ttc1: number): string {
  const bytes = Buffer.alloc(45);
  bytes[7] = fieldVersion;
  bytes[15] = ttc1;
  return bytes.toString('hex');
}

const dataTypes = (runtime: string, zone: string): string =>
  [
    '02 6903 6903 03', // DATA TYPES, character sets, encoding
    `2d${compile(24, 0x29)}`,
    `07${runtime}`,
    zone,
    '0001 0001 0001 0000', // VARCHAR to VARCHAR
    '0005 0000', // no conversion
    '0000',
  ].join('');

// function, phase one, sequence number; user of 4 bytes, mode, pointer, 2 pairs, pointers; user; pairs
const phaseOne = `03 76 01  01 0104 020101  01 0102 00 01  04${ascii('shop')} ${pair('AUTH_PROGRAM_NM', 'node')} ${pair('AUTH_PID', '')}`;

t.test('a fast auth request holds the client’s capabilities and the first phase of login', async (t) => {
  const request = hex(
    '22 01 01 00', // fast auth, version 1, server converts characters
    `01 06 00 ${ascii('node-oracledb')} 00`,
    '0000 00 0000 0d', // server character sets (unused), field version 13
    dataTypes('0201 0000 0000 05', '80000000 3c3c 8000000000'),
    phaseOne,
  );
  const read = readFastAuthRequest(request);
  t.match(read, {
    kind: 'read',
    value: { driver: 'node-oracledb', login: { phase: 'one', user: 'shop', mode: 0x101 } },
  });
  if (read.kind === 'read') {
    t.equal(read.value.client.compile[7], 24);
    t.strictSame(
      [...read.value.login.pairs],
      [
        ['AUTH_PROGRAM_NM', 'node'],
        ['AUTH_PID', ''],
      ],
    );
  }
  for (let end = 0; end < request.length; end++) {
    t.strictSame(readFastAuthRequest(request.subarray(0, end)), { kind: 'need-more' }, `cut at ${end}`);
  }
});

t.test('JDBC names other protocol versions, writes its user plainly, and wants wide scales', async (t) => {
  const types = dataTypes('0201 0000 0000 05', '80000000 3c3c 8000000000').replace('6903 6903 03', '6903 6903 01');
  const request = hex(
    '22 01 00 00',
    `01 06 05 04 03 02 01 00 ${ascii('Java_TTC-8.2.0')} 00`,
    '6903 01 d007 18', // field version 24
    types.replace('0005 0000', '0027 0286 0001 0000'), // descriptions as type 646
    `03 76 01 00  01 0103 0101  01 0101 01 01  ${ascii('APP')} ${pair('AUTH_PROGRAM_NM', 'Orders')}`,
  );
  t.match(readFastAuthRequest(request), {
    kind: 'read',
    value: {
      driver: 'Java_TTC-8.2.0',
      client: { plainTexts: true, wideScales: true },
      login: { phase: 'one', sequence: 1, user: 'APP' },
    },
  });
  for (let end = 0; end < request.length; end++) {
    t.strictSame(readFastAuthRequest(request.subarray(0, end)), { kind: 'need-more' }, `cut at ${end}`);
  }
});

t.test('without the time zone capability there is no time zone', async (t) => {
  const read = readDataTypesRequest(hex(dataTypes('0200 0000 0000 05', '')));
  t.match(read, { kind: 'read' });
});

const v13 = { fieldVersion: 13, endOfCallStatus: true, endOfResponse: true, plainTexts: false, wideScales: false };

t.test('a login function is read in its field version', async (t) => {
  t.match(readLoginRequest(hex(phaseOne), v13), { kind: 'read', value: { user: 'shop' } });
  // 23.1: a token behind the sequence number
  const withToken = phaseOne.replace('03 76 01', '03 73 02 00');
  t.match(readLoginRequest(hex(withToken), { ...v13, fieldVersion: 24 }), {
    kind: 'read',
    value: { phase: 'two', user: 'shop' },
  });
  t.match(readLoginRequest(hex('03 93 01'), v13), { kind: 'unknown' });
  t.match(readLoginRequest(hex('03 76 01 00 00 00 01 020101 00 00'), v13), { kind: 'unknown', reason: /257/ });
});

t.test('the server’s protocol message holds its capabilities', async (t) => {
  const reply = hex(
    '01 06 00',
    `${ascii('x86_64/Linux 2.4.xx')} 00`,
    '6903 01', // character set 873, flags
    '0100 0102030405', // one element of five bytes
    '0003 aabbcc',
    `2d${compile(16, 0x01)}`,
    '02 0201',
  );
  const read = readProtocolReply(reply);
  t.match(read, { kind: 'read', value: { banner: 'x86_64/Linux 2.4.xx', characterSet: 873 } });
  for (let end = 0; end < reply.length; end++) {
    t.strictSame(readProtocolReply(reply.subarray(0, end)), { kind: 'need-more' });
  }
  t.match(readProtocolReply(hex('1c')), { kind: 'unknown' });
});

t.test('what is agreed is what both ends can', async (t) => {
  const end = (version: number, ttc1: number): { compile: Buffer; runtime: Buffer } => ({
    compile: hex(compile(version, ttc1)),
    runtime: Buffer.alloc(0),
  });
  t.strictSame(negotiateCapabilities(end(24, 0x29), end(16, 0x01)), {
    fieldVersion: 16,
    endOfCallStatus: true,
    endOfResponse: false,
    plainTexts: false,
    wideScales: false,
  });
  t.strictSame(negotiateCapabilities(end(12, 0x28), end(24, 0x01)), {
    fieldVersion: 12,
    endOfCallStatus: false,
    endOfResponse: false,
    plainTexts: false,
    wideScales: false,
  });
});

t.test('SID and serial# are found in the login answer of thin and of OCI clients', async (t) => {
  const keys = ['AUTH_SESSION_ID', 'AUTH_SERIAL_NUM', 'AUTH_SC_SERVICE_NAME', 'AUTH_INSTANCENAME'];
  const thin = hex(
    '17 07 00', // a server-side piggyback in front
    `08 0104 ${pair('AUTH_SESSION_ID', '139')} ${pair('AUTH_SERIAL_NUM', '40021')}`,
    `${pair('AUTH_SC_SERVICE_NAME', 'orders')} ${pair('AUTH_INSTANCENAME', '')}`,
    '09 01 01 00 1d',
  );
  t.strictSame(
    [...readLoginReply(thin, keys)],
    [
      ['AUTH_SESSION_ID', '139'],
      ['AUTH_SERIAL_NUM', '40021'],
      ['AUTH_SC_SERVICE_NAME', 'orders'],
      ['AUTH_INSTANCENAME', ''],
    ],
  );
  // fixed little-endian lengths, as sqlplus negotiates them
  const oci = hex(`0f000000 0f${ascii('AUTH_SESSION_ID')} 04000000 04${ascii('1024')} 00000000 ${'00'.repeat(60)}`);
  t.equal(readLoginReply(oci, keys).get('AUTH_SESSION_ID'), '1024');
  t.equal(readLoginReply(oci, keys).size, 1);
  t.equal(readLoginReply(hex(`0f${ascii('AUTH_SESSION_ID')} 0104`), keys).size, 0, 'a cut value is none');
});
