import { playFaults } from './faults.js';
import { lock } from './scenarios/lock.js';
import { transaction } from './scenarios/transaction.js';

await playFaults([transaction, lock]);
