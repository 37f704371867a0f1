import t from 'tap';
import { OraError } from '../fixtures/oracle/database.js';

t.test('an Oracle error carries its number as five digits', async (t) => {
  t.equal(new OraError(942, 'table or view does not exist').message, 'ORA-00942: table or view does not exist');
});
