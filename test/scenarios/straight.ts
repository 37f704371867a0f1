/**
 * The same scenarios without Holdfast: the driver's own connection to the database, with the same faults on it at the same points
 * of its calls. What cuts a link there cuts this connection; what takes a process or a host away takes it away with its connections.
 */
import { setTimeout } from 'node:timers/promises';
import { pino } from 'pino';
import { freePort } from '../../fixtures/lab/ports.js';
import { relayTarget } from '../../migrate/inject/targets.js';
import { AuditFile, type AuditLine } from '../../migrate/rehearse/audit-file.js';
import type { Done } from '../../migrate/rehearse/deeds.js';
import type { Field } from '../../migrate/rehearse/field.js';
import type { Ground } from '../../migrate/rehearse/ground.js';
import { machineMs } from '../../migrate/rehearse/plan.js';
import type { Deed } from '../../migrate/scenario/schema.js';
import type { AuditEntry } from '../../proxy/audit/entry.js';
import { Faults } from '../../proxy/inject/faults.js';
import { FaultGate } from '../../proxy/inject/gate.js';
import { serveRelays } from '../../proxy/relay/serve.js';
import { systemClock } from '../../shim/link/socket.js';
import { type Address, formatAddress, parseAddress } from '../../shim/program/address.js';
import { pipe } from '../proxy/backend/pipe.js';

export interface Straight {
  readonly field: Field;
  close(): Promise<void>;
}

export async function openStraight(ground: Ground): Promise<Straight> {
  const stops: (() => unknown)[] = [];
  const lines: AuditLine[] = [];
  const log = pino({ level: 'silent' });
  const record = ({ event, fault, act }: AuditEntry): void => {
    if (event !== 'fault' || fault === undefined) return;
    lines.push({ event, at: new Date().toISOString(), fault, ...(act === undefined ? {} : { act }) });
  };
  const faults = new Faults({ audit: { record }, clock: systemClock });
  const open = new Set<() => void>();
  const upstream = parseAddress(ground.database.address);
  if (upstream === undefined) throw new Error(`${ground.database.address} is no address`);
  const [link, to] = [await localAddress(), await localAddress()];
  let stream = 0;
  const teardown = (stop: () => unknown) => stops.push(stop);
  const { port } = await pipe({ teardown } as Parameters<typeof pipe>[0], to, {
    before: (events, make) => {
      const cut = (): void => {
        open.delete(cut);
        gate.destroy();
        events.closed(undefined);
      };
      open.add(cut);
      stream += 1;
      const owner = { workload: 'straight', instance: 'straight', stream, cutLink: cut };
      const gate = new FaultGate({ faults, events, owner, clock: systemClock, log }, make);
      return gate;
    },
  });
  // The driver's connection is its link, and the way behind the gate its way to the database.
  const auditLog = `${ground.world.directory}/straight-${link.port}.log`;
  const served = await serveRelays(
    {
      api: { host: '127.0.0.1', port: 0 },
      auditLog,
      relays: [
        { leg: 'link', listen: link, upstream: { host: '127.0.0.1', port } },
        { leg: 'database', listen: to, upstream },
      ],
    },
    log,
  );
  teardown(() => served.close());
  const relayed = new AuditFile(auditLog);
  const cutAll = (): void => {
    for (const cut of open) cut();
  };
  const field: Field = {
    launch: ground.launchAt(formatAddress(link)),
    injects: {
      add: async (rules, by) => faults.add(rules, by),
      remove: async (ids, by) => faults.remove(ids, by),
    },
    relay: relayTarget(`http://${formatAddress(served.api)}`),
    deeds: () => new StraightDeeds(cutAll),
    refusals: () => [],
    lines: () => [...lines, ...relayed.lines()],
    machineMs: (line) => relayed.machineMs(line),
    stop: async () => undefined,
  };
  return {
    field,
    close: async () => {
      faults.stop();
      for (const stop of stops.toReversed()) await stop();
    },
  };
}

async function localAddress(): Promise<Address> {
  return { host: '127.0.0.1', port: await freePort('127.0.0.1') };
}

class StraightDeeds {
  readonly done: Done[] = [];
  readonly #cutAll: () => void;

  constructor(cutAll: () => void) {
    this.#cutAll = cutAll;
  }

  async perform(deed: Deed): Promise<void> {
    const beganMs = machineMs();
    // Who stands still has his connection still.
    if (deed.kind === 'freeze') await setTimeout(deed.forMs);
    else if (deed.kind !== 'kill' || deed.what !== 'agent') this.#cutAll();
    const common = { kind: deed.kind, application: undefined, blackoutMs: 0, acted: true, detail: 'straight' };
    this.done.push({ ...common, beganMs, endedMs: machineMs() });
  }
}
