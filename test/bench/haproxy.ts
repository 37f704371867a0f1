import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errorText } from '../../shim/program/errors.js';
import { installed } from '../interop/install.js';

const run = promisify(execFile);

export type HaproxyFound =
  | { readonly kind: 'found'; readonly command: readonly [file: string, ...args: string[]]; readonly version: string }
  | { readonly kind: 'missing'; readonly reason: string };

/** What HAProxy needs and a small installation has not. */
const packages = ['haproxy', 'liblua5.3-0'];
const fetchMsMax = 60_000;

/** The HAProxy of this machine, else Debian's, unpacked into the user's cache directory; nothing is installed. */
export async function findHaproxy(): Promise<HaproxyFound> {
  for (const file of ['haproxy', '/usr/sbin/haproxy']) {
    const version = await versionOf([file]);
    if (version !== undefined) return { kind: 'found', command: [file], version };
  }
  try {
    const root = await installed('haproxy', packages, unpack);
    const libraries = ['x86_64', 'aarch64'].map((each) => join(root, `usr/lib/${each}-linux-gnu`));
    const path = libraries.filter((each) => existsSync(each)).join(':');
    const command = ['env', `LD_LIBRARY_PATH=${path}`, join(root, 'usr/sbin/haproxy')] as const;
    const version = await versionOf(command);
    if (version !== undefined) return { kind: 'found', command: [...command], version };
    return { kind: 'missing', reason: 'no HAProxy on PATH, and the one of the package does not start' };
  } catch (error) {
    return { kind: 'missing', reason: `no HAProxy on PATH (apt-get install haproxy): ${errorText(error).trim()}` };
  }
}

async function unpack(directory: string): Promise<void> {
  await run('apt-get', ['download', ...packages], { cwd: directory, timeout: fetchMsMax });
  await run('sh', ['-c', 'for each in *.deb; do dpkg-deb --extract "$each" .; done'], { cwd: directory });
}

async function versionOf([file, ...args]: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run(file ?? '', [...args, '-v']);
    return /version (\S+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

export interface Hop {
  readonly listen: number;
  readonly to: number;
  /** TLS towards the drivers' side, with this PEM file; TLS towards the database's side. */
  readonly certificate?: string;
  readonly isTlsTo?: boolean;
}

/**
 * A configuration of one process with one thread: one thread for each of its hops is what Holdfast has too. The suite is the one
 * that Holdfast's links use with a shared secret.
 */
export function haproxyConfig(hops: readonly Hop[]): string {
  const suite = 'TLS_AES_128_GCM_SHA256';
  const sections = hops.map(({ listen, to, certificate, isTlsTo }, index) => {
    const bind = certificate === undefined ? '' : ` ssl crt ${certificate}`;
    const server = isTlsTo === true ? ' ssl verify none' : '';
    return `listen hop${index}\n  bind 127.0.0.1:${listen}${bind}\n  server next 127.0.0.1:${to}${server}\n`;
  });
  return `global
  nbthread 1
  ssl-default-bind-ciphersuites ${suite}
  ssl-default-server-ciphersuites ${suite}
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode tcp
  maxconn 4000
  backlog 4096
  timeout connect 10s
  timeout client 1h
  timeout server 1h
${sections.join('')}`;
}
