/**
 * Preloaded into every process of a run (`NODE_OPTIONS=--import`): tokens of the link, which nobody can choose, become
 * recognisable. Whatever else is random stays so.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const tokenBytes = 32;
export const tokenMark = 'PLANTED-TOKEN-';
const random = crypto.randomBytes;
let made = 0;

Object.assign(crypto, {
  randomBytes: (size: number, ...rest: []) => {
    if (size !== tokenBytes) return random(size, ...rest);
    made += 1;
    return Buffer.from(`${tokenMark}${process.pid}-${made}`.padEnd(tokenBytes, '.'));
  },
});
syncBuiltinESMExports();
