#!/usr/bin/env node
/**
 * The keeper of a proxy: keeps the sockets, and starts the worker that does everything else (worker.ts). What runs here must
 * never go wrong, so there is as little of it as possible.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { runProgram } from '../shim/program/run.js';
import { becomeAnew, type JournalPlace, takeHandover } from './keeper/handover.js';
import { inheritedDescriptors, ServiceManager } from './keeper/notify.js';
import { type Found, foundIn, inheritedBy, slotsFor, storeOf } from './keeper/places.js';
import { Slots } from './keeper/slots.js';
import { program } from './program.js';
import { slotEnvironment } from './workers/slot.js';

await runProgram({
  ...program,
  async main({ settings, log, onStop, serve }) {
    const { env, pid } = process;
    const manager = ServiceManager.of(env, pid, (errno) => log.warn({ errno }, 'the service manager was not told'));
    const before = takeHandover(env);
    const place = before === undefined ? journalPlace(settings.journal) : before.journal;
    if (place.isOwn) onStop('journal', () => rmSync(place.directory, { recursive: true, force: true }));
    const found: Found =
      before === undefined
        ? foundIn(inheritedDescriptors(env, pid))
        : { of: before.slots?.of ?? 1, sockets: before.sockets };
    const of = slotsFor(found, settings.workers);
    if (of !== settings.workers) {
      const facts = { code: 'workers-pinned', workers: of, wanted: settings.workers };
      log.warn(facts, 'sessions are spread over another number of workers, which stays until a start without sessions');
    }
    const meeting = of === 1 ? '' : (before?.slots?.meeting ?? mkdtempSync(join(tmpdir(), 'holdfast-workers-')));
    if (of > 1) onStop('meeting', () => rmSync(meeting, { recursive: true, force: true }));
    const exited = new Promise<number>((exit) => {
      const slots = new Slots({
        program: installedWorker,
        slots: Array.from({ length: of }, (_, index) => ({
          args: [...process.argv.slice(2), '--journal', journalOf(place, index, of)],
          environment: of === 1 ? {} : slotEnvironment({ index, of, meeting }),
          inherited: inheritedBy(found, index),
          ...(manager === undefined ? {} : { store: storeOf(manager, { index, of }) }),
        })),
        isInOrder: before !== undefined,
        become: (sockets) => becomeAnew({ journal: place, sockets, ...(of === 1 ? {} : { slots: { of, meeting } }) }),
        serving: (worker, all) => {
          log.info({ worker }, 'a worker serves');
          if (all) manager?.ready(`worker ${worker} serves`);
        },
        tell: (level, facts, text) => log[level](facts, text),
        exit,
      });
      process.on('SIGHUP', () => {
        slots.signal('SIGHUP');
        // What was wrong may be the program: another one may be installed by now.
        slots.retry();
      });
      process.on('SIGUSR2', () => slots.renew());
      if (manager?.watchdogMs !== undefined) setInterval(() => manager.alive(), manager.watchdogMs / 2).unref();
      const stop = (): void => {
        manager?.stopping();
        slots.stop();
      };
      void serve().then(() => {
        stop();
        void serve().then(stop);
      });
      slots.begin();
    });
    return exited;
  },
});

/** Where workers put down what the next one must know. Memory is enough: the machine's end is the end of all sockets too. */
function journalPlace(wanted: string): JournalPlace {
  if (wanted !== 'memory') return { directory: wanted, isOwn: false };
  return { directory: mkdtempSync('/dev/shm/holdfast-proxy-'), isOwn: true };
}

/** Each slot has a journal of its own. */
function journalOf({ directory }: JournalPlace, index: number, of: number): string {
  return of === 1 || directory === 'off' ? directory : join(directory, `worker-${index}`);
}

/** Looked up anew for each worker: another version may be installed here by now. */
function installedWorker(): string {
  const [, path = ''] = process.argv;
  try {
    return join(dirname(realpathSync(path)), 'worker.js');
  } catch {
    // In the middle of an installation. A worker that cannot be started is told as such; the keeper must not end of it.
    return join(dirname(path), 'worker.js');
  }
}
