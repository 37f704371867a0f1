import type { Application, Driver } from './application.js';
import { driverOf, type Session } from './auditor.js';
import { Violation } from './violation.js';
import { nameOf, type World } from './world.js';

/** Longest that it may take until everything is as it should be: a proxy that is full waits for holds to run out. */
const settleMs = 40_000;
const sliceMs = 250;

/** Faults stop, time runs: everything arrives once or both ends know that it does not, and what nobody wants any more ends. */
export function settle(world: World, check: () => void): void {
  world.say('faults stop');
  heal(world);
  const untilMs = world.timeline.nowMs + settleMs;
  for (let wrong = unsettled(world); wrong !== undefined; wrong = unsettled(world)) {
    if (world.timeline.nowMs > untilMs) throw wrong;
    world.timeline.runUntil(world.timeline.nowMs + sliceMs, check);
  }
  checkFingerprints(world);
}

/** Whatever happened: what both ends have seen of the same range is the same. */
function checkFingerprints(world: World): void {
  for (const app of world.apps) {
    const workload = world.gate.registry.workloads.find(({ instance }) => instance === app.dialer.instance);
    if (app.dead || app.dialer.state.kind !== 'bound' || workload?.epoch !== app.dialer.epoch) continue;
    for (const [stream, { sent, received }] of app.dialer.link.fingerprints()) {
      const proxy = workload.session(stream)?.fingerprints;
      for (const [one, other] of [
        [sent, proxy?.received],
        [received, proxy?.sent],
      ] as const) {
        if (one === undefined || one.from !== other?.from || one.to !== other.to) continue;
        world.counts.ranges += 1;
        if (one.crc === other.crc) continue;
        throw new Violation('fingerprints', `stream ${stream} of ${nameOf(app)}: ${one.from} to ${one.to} differ`);
      }
    }
  }
}

function heal(world: World): void {
  world.outageUntilMs = 0;
  world.skewUntilMs = Math.min(world.skewUntilMs, world.timeline.nowMs);
  world.gate.thaw();
  for (const app of world.apps) {
    app.thaw();
    for (const index of app.drivers.keys()) app.driver(index, (driver) => driver.setReads(true));
    if (app.dialer.state.kind === 'detached') app.attach();
  }
  for (const { database } of world.auditor.sessions.values()) world.gate.input(() => database.setReads(true));
}

/** What is not yet as it should be. */
function unsettled(world: World): Violation | undefined {
  for (const app of world.apps) {
    if (app.dead) continue;
    const { kind } = app.dialer.state;
    if (kind !== 'bound' && isFull(world)) continue;
    if (kind !== 'bound' && kind !== 'refused') return new Violation('not-settled', `${nameOf(app)} is ${kind}`);
    for (const driver of app.drivers) {
      const wrong = wrongWith(world, app, driver);
      if (wrong !== undefined) return wrong;
    }
  }
  const leaking = world.apps.find((app) => !app.dead && app.dialer.state.kind === 'bound' && forgotten(world, app) < 0);
  if (leaking !== undefined) return new Violation('memory', `${nameOf(leaking)} keeps streams that are over`);
  const keeping = [
    ...world.apps.filter((app) => !app.dead && app.dialer.state.kind === 'bound').map((app) => app.dialer.link),
    ...world.gate.registry.workloads.filter(({ state }) => state.kind === 'bound'),
  ].find(({ storedBytes }) => storedBytes > 0);
  if (keeping !== undefined) return new Violation('memory', 'bytes stay stored that have long arrived');
  const held = world.gate.registry.workloads.find(({ state }) => state.kind !== 'bound');
  if (held !== undefined) return new Violation('hold', `${held.instance} is still held`);
  return orphaned(world);
}

/** All that the proxy may have are bound: there is no room for another, and there will be none. */
function isFull(world: World): boolean {
  const { workloads } = world.gate.registry;
  return (
    workloads.length >= world.faults.proxyLimits.workloadsMax && workloads.every(({ state }) => state.kind === 'bound')
  );
}

/** Streams of the link less than there are living connections: below zero, some are kept that both ends have ended. */
function forgotten(world: World, app: Application): number {
  const living = app.drivers.filter((driver) => {
    const database = world.auditor.sessions.get(driver.key ?? '')?.database;
    const isOver = driver.hasReset || database === undefined || database.isOver;
    return driver.key?.startsWith(`${app.dialer.instance}/`) === true && !isOver;
  });
  return living.length - app.dialer.link.streamCount;
}

/** A session that no living application has. */
function orphaned(world: World): Violation | undefined {
  const owners = new Set(world.apps.filter((app) => !app.dead).map((app) => app.dialer.instance));
  for (const { key, instance, database } of world.auditor.sessions.values()) {
    if (!owners.has(instance) && !database.isOver)
      return new Violation('end-not-seen', `${key} lives on without a shim`);
  }
  return undefined;
}

function wrongWith(world: World, app: Application, driver: Driver): Violation | undefined {
  if (driver.sawEnd && driver.hasReset) return undefined;
  const instance = driver.key?.slice(0, driver.key.indexOf('/'));
  if (app.dialer.state.kind === 'refused' || instance !== app.dialer.instance) {
    return driver.sawEnd ? undefined : new Violation('end-not-seen', `${driver.key} of ${nameOf(app)} does not know`);
  }
  const session = world.auditor.sessions.get(driver.key ?? '');
  if (session === undefined) return new Violation('not-delivered', `${driver.key} was never opened`);
  if (driver.hasReset) return isOver(session);
  // A copy that was there before has reset it; the worker that heard of that died before it could say so.
  const wasReset = world.apps.some((other) => driverOf(other, session.key)?.hasReset === true);
  if (wasReset && session.database.destroyed && driver.sawEnd) return undefined;
  return betweenLiving(driver, session);
}

function isOver({ key, database }: Session): Violation | undefined {
  return database.isOver ? undefined : new Violation('end-not-seen', `${key} was reset and lives on`);
}

function betweenLiving(driver: Driver, { key, database }: Session): Violation | undefined {
  const bothEnded = driver.hasEnded && database.hasEnded;
  if (database.broke) {
    return driver.sawEnd ? undefined : new Violation('end-not-seen', `${key}: the driver does not know of its end`);
  }
  if (database.destroyed && !bothEnded) return new Violation('end-not-seen', `${key} was ended without a cause`);
  if (database.received !== driver.speech.said) {
    return new Violation('not-delivered', `${key} up: ${database.received} of ${driver.speech.said} bytes`);
  }
  if (driver.heard !== database.speech.said) {
    return new Violation('not-delivered', `${key} down: ${driver.heard} of ${database.speech.said} bytes`);
  }
  if (database.heardEnd !== driver.hasEnded) return new Violation('end-not-seen', `${key}: end of the driver`);
  if (driver.sawEnd !== database.hasEnded) return new Violation('end-not-seen', `${key}: end of the database`);
  return undefined;
}
