#!/usr/bin/env node
/** `node dist/test/ci/main.js LOG`: what failed in a log of tap, for the end of CI's output. Exit code 1 when there is nothing. */
import { readFileSync } from 'node:fs';
import { failuresIn, report } from './failures.js';

const failures = failuresIn(readFileSync(process.argv[2] ?? '/dev/stdin', 'utf8').split('\n'));
process.stdout.write(report(failures));
process.exitCode = failures.length > 0 ? 0 : 1;
