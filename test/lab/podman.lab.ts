import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import t from 'tap';
import { makeImage, removeImage, volumesWith } from '../../fixtures/lab/image.js';
import { testContainerMoves } from './container-moves.js';

/** Of this test alone. */
const image = `localhost/holdfast-lab-${randomBytes(4).toString('hex')}`;
const unfit = `${image}-unfit`;

await testContainerMoves(t, {
  name: 'podman',
  missing: 'podman-missing',
  async prepare(_directory, args, mounts) {
    await makeImage(image, [`CMD ${JSON.stringify(args)}`, 'WORKDIR /tmp']);
    t.teardown(() => removeImage(image));
    return ['--image', image, '--volume', volumesWith(mounts)];
  },
  async unfit() {
    await makeImage(unfit, ['USER somebody']);
    t.teardown(() => removeImage(unfit));
    return [
      { words: ['--image', unfit, '--', 'true'], says: /bundle-unfit.*somebody/ },
      { words: ['--image', `${image}-none`, '--', 'true'], says: /bundle-unfit.*no image/ },
      { words: ['--image', image, '--volume', 'here:/there'], says: /bundle-unfit.*here:/ },
      { words: ['--image', image, '--volume', '/tmp:/holdfast'], says: /bundle-unfit.*needs/ },
      { words: ['--image', image], says: /start-failed/ },
    ];
  },
  async left() {
    const words = ['ps', '--all', '--filter', `ancestor=${image}`, '--format', '{{.Names}}'];
    return (await promisify(execFile)('podman', words)).stdout.split('\n').filter(Boolean);
  },
});
