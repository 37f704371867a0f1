import t from 'tap';
import { descriptorValue, findDescriptor, parseDescriptor } from '../../../proxy/tns/index.js';

const text =
  '(DESCRIPTION=(CONNECT_DATA=(service_name=orders.example) (CID=(PROGRAM=node\\(1\\))(HOST=app)(USER="a (b)")))(ADDRESS=(PROTOCOL=TCP)(HOST=::1)(PORT=1521)))';

t.test('values are found by path, names in any case', async (t) => {
  const root = parseDescriptor(text, 'frontend');
  t.equal(descriptorValue(root, 'CONNECT_DATA', 'SERVICE_NAME'), 'orders.example');
  t.equal(descriptorValue(root, 'CONNECT_DATA', 'CID', 'PROGRAM'), 'node(1)');
  t.equal(descriptorValue(root, 'CONNECT_DATA', 'CID', 'USER'), 'a (b)');
  t.equal(descriptorValue(root, 'CONNECT_DATA', 'SID'), undefined);
  const address = findDescriptor(root, 'ADDRESS');
  t.equal(address && descriptorValue(address, 'HOST'), '::1');
  t.equal(findDescriptor(root, 'ADDRESS_LIST'), undefined);
});

t.test('a text cut at any place is a coded error', async (t) => {
  for (let end = 0; end < text.length; end++) {
    t.throws(() => parseDescriptor(text.slice(0, end), 'backend'), { code: 'descriptor-invalid', source: 'backend' });
  }
});

t.test('nesting has a limit', async (t) => {
  const nested = (depth: number): string => `${'(A='.repeat(depth)}x${')'.repeat(depth)}`;
  t.ok(parseDescriptor(nested(16), 'frontend'));
  t.throws(() => parseDescriptor(nested(17), 'frontend'), { code: 'descriptor-invalid' });
});
