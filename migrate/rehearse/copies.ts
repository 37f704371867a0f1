/**
 * Images of shims. A shim that keeps them writes down at SIGUSR2 what it would present to the proxy at this moment: of a process
 * that is restored from an image that is all a proxy ever sees.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { World } from '../../fixtures/lab/world.js';
import type { Resume } from '../../shim/link/index.js';
import { readOrNothing } from '../workload/process.js';

/** Beside the configuration of the shim. It has a token in it: for its owner only. */
export const imageName = 'shim-image.json';
const remember = new URL('./remember.js', import.meta.url).href;
const imageMsMax = 30_000;
const pollMs = 10;

/** For processes whose shim keeps images: the module leaves everybody else alone. */
export const imageEnvironment = { NODE_OPTIONS: `--import=${remember}` } as const;

/** The last RESUME, with epoch, token and streams as they are now; the token in base64. */
export type WrittenImage = Omit<Resume, 'token'> & { readonly token: string };

/** @returns what the shim is now @throws when there is nothing in time */
export async function takeImage(world: World, workload: string, shim: number): Promise<Resume> {
  const file = join(world.directory, 'state/workloads', workload, imageName);
  rmSync(file, { force: true });
  process.kill(shim, 'SIGUSR2');
  for (const deadlineMs = performance.now() + imageMsMax; performance.now() < deadlineMs; await setTimeout(pollMs)) {
    const text = readOrNothing(file);
    if (text === undefined) continue;
    const written: WrittenImage = JSON.parse(text);
    return { ...written, token: Buffer.from(written.token, 'base64') };
  }
  throw new Error(`no image of ${workload} within ${imageMsMax} ms`);
}
