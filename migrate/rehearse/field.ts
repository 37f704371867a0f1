import { proxyTarget } from '../inject/targets.js';
import type { Deed } from '../scenario/schema.js';
import { readOrNothing } from '../workload/process.js';
import { AuditFile, type AuditLine } from './audit-file.js';
import { Deeds, type Done } from './deeds.js';
import type { Ground } from './ground.js';
import type { FaultMaker } from './injector.js';
import type { Launch } from './load.js';

/** Where a scenario is played: through Holdfast, or, to compare, without it. */
export interface Field {
  readonly launch: Launch;
  /** Makes faults by meaning. */
  readonly injects: FaultMaker;
  /** Makes faults of transport, where there is one. */
  readonly relay: FaultMaker | undefined;
  /** What can be done to the processes of these applications. */
  deeds(applications: readonly string[]): { readonly done: readonly Done[]; perform(deed: Deed): Promise<unknown> };
  /** What has happened since the field is there. */
  lines(): readonly AuditLine[];
  /** Verdicts that shims of these applications, or copies of them, were refused with so far: each as often as it was told. */
  refusals(applications: readonly string[]): readonly string[];
  /** When a line was written, on the clock of histories. */
  machineMs(line: AuditLine): number;
  /** Ends what is left of an application. */
  stop(application: string): Promise<void>;
}

/**
 * Applications with their shims at node-a, a proxy, and its audit log.
 * @param keepsImages shims keep what copies of them need
 */
export function holdfastField(ground: Ground, keepsImages = false): Field {
  const audit = new AuditFile(`${ground.world.directory}/audit.log`);
  const relays = ground.world.relays;
  const relayed = new AuditFile(relays?.auditLog ?? '');
  const from = audit.lines().length;
  const relayedFrom = relayed.lines().length;
  const lines = () => [...audit.lines().slice(from), ...relayed.lines().slice(relayedFrom)];
  return {
    launch: ground.launchWorkload(keepsImages),
    injects: proxyTarget(ground.operator.proxy),
    relay: ground.relay,
    deeds: (applications) => new Deeds(ground, applications),
    lines,
    // What ends nothing is not in the audit log: only the shim tells of it.
    refusals: (applications) => [
      ...lines().flatMap(({ event, code }) => (event === 'refuse' && code !== undefined ? [code] : [])),
      ...applications.flatMap((name) => postponed(`${ground.world.directory}/state/workloads/${name}/shim.log`)),
    ],
    machineMs: (line) => audit.machineMs(line),
    stop: (name) => ground.stop(name),
  };
}

/** Of the log of a shim: how often it was told to come later. */
function postponed(file: string): readonly string[] {
  const lines = (readOrNothing(file) ?? '').split('\n');
  return lines.filter((line) => line.includes('"refused-try-later"')).map(() => 'try-later');
}
