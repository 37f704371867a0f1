import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { KeyDirectory } from '../../../migrate/keys/directory.js';
import { type Identity, keyFileName, parseIdentity } from '../../../shim/program/identity.js';
import { Keyring } from '../../../shim/program/keyring.js';
import type { Security } from '../../../shim/program/security.js';

/** A private authority in a directory of its own, and certificates of it, made for one test. */
export class TestKeys {
  readonly directory = mkdtempSync(join(tmpdir(), 'hf-keys-'));
  readonly keys = new KeyDirectory(this.directory);

  file(who: string): string {
    return join(this.directory, keyFileName(identity(who)));
  }
  get ca(): string {
    return join(this.directory, 'ca.pem');
  }

  /** Command-line flags of a part. */
  flags(who: string): readonly string[] {
    return ['--tls-cert', this.file(who), '--tls-ca', this.ca];
  }

  security(who: string): Security {
    return { kind: 'certificates', keyring: new Keyring({ cert: this.file(who), key: this.file(who), ca: this.ca }) };
  }

  /** Files as they are on another host: what changes here has to be copied there. */
  copyTo(directory: string, who: string): { cert: string; key: string; ca: string } {
    const cert = join(directory, keyFileName(identity(who)));
    const ca = join(directory, 'ca.pem');
    copyFileSync(this.file(who), cert);
    copyFileSync(this.ca, ca);
    return { cert, key: cert, ca };
  }
}

export async function makeKeys(t: Test, ...who: readonly string[]): Promise<TestKeys> {
  const made = new TestKeys();
  t.teardown(() => rmSync(made.directory, { recursive: true }));
  await made.keys.init();
  await made.keys.issue(who.map(identity), 90, false);
  return made;
}

export function identity(who: string): Identity {
  const found = parseIdentity(who);
  if (found === undefined) throw new Error(`${who} is no identity`);
  return found;
}
