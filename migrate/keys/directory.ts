import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../shim/program/errors.js';
import { type Identity, identityOf, identityText, keyFileName } from '../../shim/program/identity.js';
import { type Authority, hasSigned, issue, newAuthority } from './authority.js';
import { KeysError } from './errors.js';
import { filesMax } from './limits.js';

/** One certificate of a key directory. */
export interface KeyFile {
  readonly file: string;
  /** `proxy`, `workload:orders`; `authority` for those in ca.pem. */
  readonly who: string;
  readonly expires: string;
  readonly daysLeft: number;
  /** Which authority signed it: the present one, or one that is on its way in or out. */
  readonly signedBy: 'present' | 'other' | 'itself';
}

/** The steps of changing the authority; between two of them the files go to all hosts. */
export const rotationSteps = ['trust', 'issue', 'retire'] as const;
export type RotationStep = (typeof rotationSteps)[number];

const dayMs = 86_400_000;

/**
 * A directory with a private authority and the certificates that it has signed:
 *
 *     ca.pem              the authorities that all parts trust: one, or two while they change; the one file for everybody
 *     ca.key              key of the present authority: whoever has it can make himself anybody
 *     ca-next.key         key of the next one, between the first two steps of a change
 *     proxy.pem, agent.pem, operator-alice.pem, workload-orders.pem ...   certificate and key of one part
 */
export class KeyDirectory {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Makes the directory and an authority. @throws {KeysError} keys-exist, keys-not-private */
  async init(): Promise<readonly string[]> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.#mustBePrivate();
    for (const file of [this.#ca, this.#caKey])
      this.#mustNotExist(file, 'use "holdfast keys rotate" to change the authority');
    const authority = await newAuthority();
    this.#write(this.#caKey, authority.key);
    this.#write(this.#ca, authority.certificate);
    return [this.#ca, this.#caKey];
  }

  /**
   * Makes a key and a certificate for each.
   * @param replace also where there is one: a certificate that runs out is replaced so
   * @throws {KeysError} keys-exist, keys-missing, keys-invalid, keys-not-private
   */
  async issue(identities: readonly Identity[], days: number, replace: boolean): Promise<readonly string[]> {
    const authority = this.#authority();
    const files = identities.map((identity) => join(this.#directory, keyFileName(identity)));
    if (!replace) for (const file of files) this.#mustNotExist(file, 'use --replace to make a new one in its place');
    for (const [index, identity] of identities.entries()) {
      this.#write(files[index] ?? '', await issue(authority, identity, days));
    }
    return files;
  }

  /**
   * One step of a change of the authority. Parts that have got the files of a step, and parts that have only got those of
   * the step before, accept each other; so nothing has to stop.
   * @throws {KeysError} keys-wrong-step, keys-missing, keys-invalid, keys-not-private
   */
  async rotate(step: RotationStep, days: number): Promise<readonly string[]> {
    const next = this.nextStep();
    if (next !== step) {
      throw new KeysError('keys-wrong-step', `the next step is "${next}", not "${step}": ${stepGuide[next]}`);
    }
    switch (step) {
      case 'trust': {
        const authority = await newAuthority();
        this.#write(this.#caNextKey, authority.key);
        this.#write(this.#ca, this.#read(this.#ca) + authority.certificate);
        return [this.#ca, this.#caNextKey];
      }
      case 'issue': {
        const former = this.#leaves();
        renameSync(this.#caNextKey, this.#caKey);
        const made = await this.issue(
          former.map(({ identity }) => identity),
          days,
          true,
        );
        return [this.#caKey, ...made];
      }
      case 'retire': {
        const { certificate } = this.#authority();
        const left = this.#leaves().filter((leaf) => !hasSigned(certificate, leaf.pem));
        if (left.length > 0) {
          const names = left.map(({ identity }) => identityText(identity)).join(' ');
          const message = `the former authority has signed ${names}: use "holdfast keys issue --replace ${names}" first`;
          throw new KeysError('keys-wrong-step', message);
        }
        this.#write(this.#ca, certificate);
        return [this.#ca];
      }
    }
  }

  /** @throws {KeysError} keys-missing, keys-invalid, keys-not-private */
  nextStep(): RotationStep {
    const { length } = this.#authorities();
    if (existsSync(this.#caNextKey)) return 'issue';
    return length > 1 ? 'retire' : 'trust';
  }

  /** The authorities first. @throws {KeysError} keys-missing, keys-invalid, keys-not-private */
  list(): readonly KeyFile[] {
    const present = this.#authority().certificate;
    const authorities = this.#authorities().map((pem) => ({
      file: 'ca.pem',
      who: 'authority',
      ...ending(pem),
      signedBy: 'itself' as const,
    }));
    const leaves = this.#leaves().map(({ file, identity, pem }) => ({
      file,
      who: identityText(identity),
      ...ending(pem),
      signedBy: hasSigned(present, pem) ? ('present' as const) : ('other' as const),
    }));
    return [...authorities, ...leaves];
  }

  get #ca(): string {
    return join(this.#directory, 'ca.pem');
  }
  get #caKey(): string {
    return join(this.#directory, 'ca.key');
  }
  get #caNextKey(): string {
    return join(this.#directory, 'ca-next.key');
  }

  /** The present authority: the one in ca.pem that ca.key belongs to. */
  #authority(): Authority {
    const pem = this.#read(this.#caKey);
    try {
      const key = createPrivateKey(pem);
      const certificate = this.#authorities().find((each) => new X509Certificate(each).checkPrivateKey(key));
      if (certificate !== undefined) return { certificate, key: pem };
    } catch (cause) {
      if (cause instanceof KeysError) throw cause;
      throw new KeysError('keys-invalid', `${this.#caKey} is no key: ${errorText(cause)}`, { cause });
    }
    throw new KeysError('keys-invalid', `${this.#caKey} is the key of no authority in ${this.#ca}`);
  }

  #authorities(): readonly string[] {
    const authorities = certificatesIn(this.#read(this.#ca));
    if (authorities.length > 0) return authorities;
    throw new KeysError('keys-invalid', `there is no certificate in ${this.#ca}`);
  }

  #leaves(): readonly { readonly file: string; readonly identity: Identity; readonly pem: string }[] {
    const files = readdirSync(this.#directory).filter((file) => file.endsWith('.pem') && file !== 'ca.pem');
    if (files.length > filesMax) throw new KeysError('keys-invalid', `more than ${filesMax} certificates`);
    return files.toSorted().map((file) => {
      const path = join(this.#directory, file);
      const [pem = ''] = certificatesIn(this.#read(path));
      const identity = identityIn(pem);
      if (identity === undefined || keyFileName(identity) !== file) {
        throw new KeysError('keys-invalid', `${path} is not a certificate of what its name says`);
      }
      return { file, identity, pem };
    });
  }

  #read(file: string): string {
    this.#mustBePrivate();
    try {
      return readFileSync(file, 'utf8');
    } catch (cause) {
      const message = `${file} cannot be read: ${errorText(cause)}; "holdfast keys init" makes an authority`;
      throw new KeysError('keys-missing', message, { cause });
    }
  }

  /** Whole or not at all: parts read these files at any moment. */
  #write(file: string, content: string): void {
    rmSync(`${file}.new`, { force: true });
    writeFileSync(`${file}.new`, content, { mode: 0o600, flag: 'wx' });
    renameSync(`${file}.new`, file);
  }

  #mustNotExist(file: string, advice: string): void {
    if (existsSync(file)) throw new KeysError('keys-exist', `${file} is there already: ${advice}`);
  }

  #mustBePrivate(): void {
    const stat = statSync(this.#directory, { throwIfNoEntry: false });
    if (stat === undefined || (stat.mode & 0o077) === 0) return;
    const message = `others can look into ${this.#directory}: chmod 700 ${this.#directory}`;
    throw new KeysError('keys-not-private', message);
  }
}

/** What each step does, and what must have happened before it. */
export const stepGuide: Readonly<Record<RotationStep, string>> = {
  trust: '"trust" makes a new authority; copy ca.pem to all hosts after it',
  issue: '"issue" makes new certificates for all, once every host has the ca.pem of "trust"; copy them after it',
  retire: '"retire" drops the former authority, once every host has its new certificate; copy ca.pem after it',
};

function certificatesIn(text: string): readonly string[] {
  return [...text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([pem]) => `${pem}\n`);
}

function identityIn(pem: string): Identity | undefined {
  try {
    return identityOf(new X509Certificate(pem).subjectAltName);
  } catch {
    return undefined;
  }
}

function ending(pem: string): { expires: string; daysLeft: number } {
  const expires = new Date(new X509Certificate(pem).validTo);
  return { expires: expires.toISOString(), daysLeft: Math.floor((expires.getTime() - Date.now()) / dayMs) };
}
