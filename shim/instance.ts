import { closeSync, openSync, readSync } from 'node:fs';

const nameBytes = 16;

/**
 * A name for a new incarnation of this shim. From the kernel, not from `crypto`: its generator lies in the memory of the process,
 * so two copies of one image would give themselves the same name.
 */
export function newInstance(): string {
  const file = openSync('/dev/urandom', 'r');
  try {
    const bytes = Buffer.alloc(nameBytes);
    readSync(file, bytes);
    return bytes.toString('hex');
  } finally {
    closeSync(file);
  }
}
