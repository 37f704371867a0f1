import { Violation } from './violation.js';
import { nameOf, type World } from './world.js';

/** What must hold at every moment, as far as it is not found by those who see bytes arrive. */
export function checkStep(world: World): void {
  const { windowBytes } = world.limits;
  const perStream = windowBytes + world.faults.sayBytes;
  for (const app of world.apps) {
    if (app.dead) continue;
    const { link } = app.dialer;
    keepsRules(nameOf(app), link.counters.violations);
    isBounded(nameOf(app), link.storedBytes, link.streamCount * perStream);
  }
  for (const workload of world.gate.registry.workloads) {
    keepsRules('the proxy', workload.counters.violations);
    const sessions = world.auditor.sessionsOf(workload.instance).filter(({ database }) => !database.destroyed).length;
    // A session that is over may still have words for its driver.
    isBounded('the proxy', workload.storedBytes, Math.max(sessions, world.limits.streamsMax) * perStream);
  }
  world.holds.check();
}

function keepsRules(who: string, violations: number): void {
  if (violations > 0) throw new Violation('rules-broken', `${who} says that the other end broke the rules of the link`);
}

function isBounded(who: string, storedBytes: number, bytesMax: number): void {
  if (storedBytes < 0 || storedBytes > bytesMax) {
    throw new Violation('memory', `${who} stores ${storedBytes} bytes, at most ${bytesMax} are allowed`);
  }
}
