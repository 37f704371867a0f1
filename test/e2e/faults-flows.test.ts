import { playFaults } from './faults.js';
import { between } from './scenarios/between.js';
import { bulk } from './scenarios/bulk.js';
import { fetch } from './scenarios/fetch.js';

await playFaults([fetch, bulk, between]);
