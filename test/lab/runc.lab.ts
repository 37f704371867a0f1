import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { makeBundle } from '../../fixtures/lab/bundle.js';
import { testContainerMoves } from './container-moves.js';

await testContainerMoves(t, {
  name: 'runc',
  missing: 'runc-missing',
  async prepare(directory, args, mounts) {
    makeBundle(directory, { args, mounts });
    return ['--bundle', directory];
  },
  async unfit(directory) {
    makeBundle(directory, { args: ['true'], mounts: [], namespaces: ['network'] });
    return [{ words: ['--bundle', directory], says: /bundle-unfit.*network namespace/ }];
  },
  async left(world) {
    const { stdout } = await promisify(execFile)('runc', ['list', '--format', 'json']);
    const all: readonly { id: string; bundle: string }[] = JSON.parse(stdout) ?? [];
    return all.filter(({ bundle }) => bundle.startsWith(world.directory)).map(({ id }) => id);
  },
});
