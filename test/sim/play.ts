import { campaign } from './campaign.js';

/** What `mutants.ts` starts for each mutant: plays until a rule is broken, and prints the result. Arguments: seed, runs. */
const [seed = '1', runs = '1'] = process.argv.slice(2);
const result = await campaign({ seed: Number(seed), runs: Number(runs), failuresMax: 1 });
process.stdout.write(JSON.stringify(result));
