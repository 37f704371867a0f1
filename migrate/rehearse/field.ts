import { proxyTarget } from '../inject/targets.js';
import type { Deed } from '../scenario/schema.js';
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
  /** When a line was written, on the clock of histories. */
  machineMs(line: AuditLine): number;
  /** Ends what is left of an application. */
  stop(application: string): Promise<void>;
}

/** Applications with their shims at node-a, a proxy, and its audit log. */
export function holdfastField(ground: Ground): Field {
  const audit = new AuditFile(`${ground.world.directory}/audit.log`);
  const relays = ground.world.relays;
  const relayed = new AuditFile(relays?.auditLog ?? '');
  const from = audit.lines().length;
  const relayedFrom = relayed.lines().length;
  return {
    launch: ground.launchWorkload,
    injects: proxyTarget(ground.operator.proxy),
    relay: ground.relay,
    deeds: (applications) => new Deeds(ground, applications),
    lines: () => [...audit.lines().slice(from), ...relayed.lines().slice(relayedFrom)],
    machineMs: (line) => audit.machineMs(line),
    stop: (name) => ground.stop(name),
  };
}
