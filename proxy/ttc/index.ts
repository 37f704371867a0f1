export * from './capabilities.js';
export * from './function.js';
export { limits as ttcLimits } from './limits.js';
export * from './login.js';
export * from './piggyback.js';
export * from './scalar.js';
export * from './status.js';
