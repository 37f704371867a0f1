import { playAll } from './play.js';
import { backAndForth } from './scenarios/back-and-forth.js';
import { between } from './scenarios/between.js';
import { call } from './scenarios/call.js';
import { lock } from './scenarios/lock.js';
import { transaction } from './scenarios/transaction.js';

await playAll('criu', [between, transaction, call, backAndForth, lock]);
