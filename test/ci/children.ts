import { createRequire } from 'node:module';

/**
 * Comes before every test file (.taprc). For the sake of coverage tap has every Node.js below it load its module hooks, in a thread of
 * their own: each program under test would start in twice the time, and not be what users run.
 */
const processOnSpawn: { removeAllListeners(): void } = createRequire(import.meta.url)('process-on-spawn');
processOnSpawn.removeAllListeners();
delete process.env.NODE_OPTIONS;
