import type { HostFacts, Inspection, TreeFacts } from '../../../migrate/preflight/facts.js';
import type { Finding } from '../../../migrate/preflight/finding.js';

/** Two hosts and a tree between which everything fits; tests change what they are about. */
export const host: HostFacts = {
  version: '1.0.0',
  carrier: { version: '4.2' },
  architecture: 'x64',
  processor: ['avx', 'avx2', 'sse2'],
  kernel: '6.8.0-45-generic',
  memoryFreeBytes: 2 ** 30,
  processesFree: 1_000,
  imageFreeBytes: 2 ** 30,
};

export const target: Inspection = {
  address: '10.0.0.3',
  machine: 'another',
  host,
  sharesState: true,
  ownImages: false,
  portsTaken: [],
  files: [],
};

export const tree: TreeFacts = {
  processes: 3,
  threads: 20,
  memoryBytes: 100 * 2 ** 20,
  files: [],
  filesLeftOut: 0,
  deleted: [],
  unsupported: [],
  terminals: [],
  hasSharedMemory: false,
  traced: [],
  ports: [],
  foreignConnections: [],
  foreignSockets: [],
  boundAddresses: [],
};

/** What matters of findings: how bad, and which. */
export function inShort(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, code }) => `${severity} ${code}`);
}
