import { playAll } from './play.js';
import { bulk } from './scenarios/bulk.js';
import { fetch } from './scenarios/fetch.js';
import { pool } from './scenarios/pool.js';

await playAll('criu', [fetch, bulk, pool]);
