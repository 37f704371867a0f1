#!/usr/bin/env node
/**
 * The keeper of a proxy: keeps the sockets, and starts the worker that does everything else (worker.ts). What runs here must
 * never go wrong, so there is as little of it as possible.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runProgram } from '../shim/program/run.js';
import { becomeAnew, type JournalPlace, takeHandover } from './keeper/handover.js';
import { Keeper, type SocketStore } from './keeper/keeper.js';
import { inheritedDescriptors, ServiceManager } from './keeper/notify.js';
import { handleOn, type NativeHandle } from './kernel/handle.js';
import { program } from './program.js';

/** What sockets are called at a service manager. */
const storePrefix = 'holdfast-';

await runProgram({
  ...program,
  async main({ settings, log, onStop, serve }) {
    const { env, pid } = process;
    const manager = ServiceManager.of(env, pid, (errno) => log.warn({ errno }, 'the service manager was not told'));
    const before = takeHandover(env);
    const place = before === undefined ? journalPlace(settings.journal) : before.journal;
    if (place.isOwn) onStop('journal', () => rmSync(place.directory, { recursive: true, force: true }));
    const exited = new Promise<number>((exit) => {
      const keeper = new Keeper({
        program: installedWorker,
        args: [...process.argv.slice(2), '--journal', place.directory],
        inherited:
          before === undefined ? inheritedSockets() : new Map(before.sockets.map(([id, fd]) => [id, handleOn(fd)])),
        isInOrder: before !== undefined,
        become: (sockets) => becomeAnew({ journal: place, sockets }),
        ...(manager === undefined ? {} : { store: storeOf(manager) }),
        serving: (worker) => {
          log.info({ worker }, 'a worker serves');
          manager?.ready(`worker ${worker} serves`);
        },
        tell: (level, facts, text) => log[level](facts, text),
        exit,
      });
      process.on('SIGHUP', () => {
        keeper.signal('SIGHUP');
        const { kind } = keeper.state;
        // What was wrong may be the program: another one may be installed by now.
        if (kind === 'holding' || kind === 'backing-off') keeper.ask({ kind: 'upgrade', program: installedWorker() });
      });
      process.on('SIGUSR2', () => keeper.ask({ kind: 'renew' }));
      if (manager?.watchdogMs !== undefined) setInterval(() => manager.alive(), manager.watchdogMs / 2).unref();
      const stop = (): void => {
        manager?.stopping();
        keeper.ask({ kind: 'stop' });
      };
      void serve().then(() => {
        stop();
        void serve().then(stop);
      });
      keeper.begin();
    });
    return exited;
  },
});

/** Where workers put down what the next one must know. Memory is enough: the machine's end is the end of all sockets too. */
function journalPlace(wanted: string): JournalPlace {
  if (wanted !== 'memory') return { directory: wanted, isOwn: false };
  return { directory: mkdtempSync('/dev/shm/holdfast-proxy-'), isOwn: true };
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

function storeOf(manager: ServiceManager): SocketStore {
  return {
    keep: (id, fd) => manager.keep(`${storePrefix}${id}`, fd),
    forget: (id) => manager.forget(`${storePrefix}${id}`),
  };
}

function inheritedSockets(): ReadonlyMap<number, NativeHandle> {
  const sockets = new Map<number, NativeHandle>();
  for (const [name, fd] of inheritedDescriptors(process.env, process.pid)) {
    if (name.startsWith(storePrefix)) sockets.set(Number(name.slice(storePrefix.length)), handleOn(fd));
  }
  return sockets;
}
