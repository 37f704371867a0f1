import { playFaults } from './faults.js';
import { backAndForth } from './scenarios/back-and-forth.js';
import { call } from './scenarios/call.js';
import { pool } from './scenarios/pool.js';

await playFaults([call, backAndForth, pool]);
