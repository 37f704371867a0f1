import { freePort } from '../../fixtures/lab/ports.js';
import { node, type World } from '../../fixtures/lab/world.js';

const program = new URL('../../shim/main.js', import.meta.url).pathname;

/** A shim by itself, whose link goes to `proxy`. @returns where it listens for drivers */
export async function startShim(world: World, workload: string, proxy: string): Promise<string> {
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const [, , ...secret] = world.files;
  const options = ['--workload', workload, '--listen', listen, '--proxy', proxy, ...secret];
  await world.start(`${workload}-shim`, 'center', node(program, ...options)).printed(/"bound"/);
  return listen;
}
