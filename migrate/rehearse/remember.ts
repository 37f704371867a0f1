/**
 * Preloaded into a shim (`--import`): at SIGUSR2 it writes down what it would present to the proxy now, as an image of the process
 * that was made at this moment would have it in memory. Other programs that preload it are left alone.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeResume, frameTypes, headerBytes, Link, type Resume, type ResumeOk } from '../../shim/link/index.js';
import { LinkSocket } from '../../shim/link/socket.js';
import { imageName, type WrittenImage } from './copies.js';

if (process.argv[1]?.endsWith('/shim/main.js') === true) {
  let presented: Resume | undefined;
  let bound: { readonly link: Link; readonly answer: ResumeOk } | undefined;
  const { sendControl } = LinkSocket.prototype;
  LinkSocket.prototype.sendControl = function (frame) {
    if (frame[0] === frameTypes.resume) presented = decodeResume(frame.subarray(headerBytes));
    return sendControl.call(this, frame);
  };
  const { resume } = Link.prototype;
  Link.prototype.resume = function (answer) {
    bound = { link: this, answer: answer as ResumeOk };
    return resume.call(this, answer);
  };
  process.on('SIGUSR2', () => {
    if (presented === undefined || bound === undefined) return;
    const { epoch, token } = bound.answer;
    const image: WrittenImage = { ...presented, ...bound.link.account(), epoch, token: token.toString('base64') };
    const file = join(shimDirectory(), imageName);
    writeFileSync(`${file}.part`, JSON.stringify(image), { mode: 0o600 });
    renameSync(`${file}.part`, file);
  });
}

/** Where its configuration is: `--config FILE`. */
function shimDirectory(): string {
  const at = process.argv.indexOf('--config');
  return join(process.argv[at + 1] ?? '.', '..');
}
