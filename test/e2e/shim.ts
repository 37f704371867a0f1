import { freePort } from '../../fixtures/lab/ports.js';
import type { Program } from '../../fixtures/lab/program.js';
import { node, type World } from '../../fixtures/lab/world.js';

const program = new URL('../../shim/main.js', import.meta.url).pathname;

/** A shim by itself, whose link goes to `proxy`. @returns where it listens for drivers */
export async function startShim(world: World, workload: string, proxy: string): Promise<string> {
  return (await runShim(world, workload, proxy)).listen;
}

/** The same with more options, for those who want the process too. */
export async function runShim(
  world: World,
  workload: string,
  proxy: string,
  ...more: readonly string[]
): Promise<{ readonly listen: string; readonly program: Program }> {
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const [, , ...secret] = world.files;
  const options = ['--workload', workload, '--listen', listen, '--proxy', proxy, ...secret, ...more];
  const shim = world.start(`${workload}-shim`, 'center', node(program, ...options));
  await shim.printed(/"bound"/);
  return { listen, program: shim };
}
