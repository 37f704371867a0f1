/**
 * Many shims in one process: real dialers and real sockets, only the process is shared.
 *
 *     node herd.js PROXY SECRET-FILE FIRST COUNT
 *
 * Prints a line when all are bound for the first time, and from then on one for every bind.
 */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:tls';
import { pino } from 'pino';
import { Dialer } from '../../shim/dialer.js';
import { defaultLimits } from '../../shim/link/index.js';
import { DriverListener } from '../../shim/listener.js';
import { parseAddress } from '../../shim/program/address.js';
import { clientTls, loadSecurity } from '../../shim/program/security.js';
import { machineMs } from './machine.js';

/** One line of the output. */
export type HerdEvent =
  | { readonly kind: 'ready'; readonly listen: readonly string[] }
  | {
      readonly kind: 'bound';
      readonly workload: string;
      readonly epoch: number;
      /** See machine.ts. */
      readonly atMs: number;
      /** Since the bind before: connections that were begun, and times that the proxy said `try-later`. */
      readonly tries: number;
      readonly tryLater: number;
      /** False: its sessions were lost, and it began afresh. */
      readonly isSame: boolean;
    };

const [proxy = '', secretFile = '', first = '1', count = '1'] = process.argv.slice(2);
const none = { tlsCert: undefined, tlsKey: undefined, tlsCa: undefined, insecurePlaintext: false };

/** One shim: what main.ts of the shim makes, and a count of what its dialer does. */
async function startShim(workload: string): Promise<{ readonly listen: string; readonly bound: Promise<void> }> {
  const target = parseAddress(proxy);
  if (target === undefined) throw new Error(`no address: ${proxy}`);
  let [tries, tryLater, instances] = [0, 0, 0];
  const log = pino({
    level: 'debug',
    hooks: {
      logMethod(args) {
        const [fields, message]: readonly unknown[] = args;
        if (typeof fields !== 'object' || fields === null) return;
        if ('code' in fields && fields.code === 'refused-try-later') tryLater += 1;
        if (message !== 'bound' || !('epoch' in fields)) return;
        print({
          kind: 'bound',
          workload,
          epoch: Number(fields.epoch),
          atMs: machineMs(),
          tries,
          tryLater,
          isSame: instances === 1,
        });
        [tries, tryLater] = [0, 0];
      },
    },
  });
  const drivers = new DriverListener({ connectWaitMs: 60_000, lingerMs: 1_000 }, log);
  const security = loadSecurity({ secretFile, ...none });
  const dialer = new Dialer({
    workload,
    newInstance: () => {
      instances += 1;
      return randomUUID();
    },
    target,
    connect: (to, connected) => {
      tries += 1;
      const secured = clientTls(security, 'link', { role: 'proxy' });
      return connect({ ...to, ...secured }).once('secureConnect', connected);
    },
    limits: defaultLimits,
    log,
    events: drivers.events,
  });
  const port = await drivers.listen('127.0.0.1', 0, dialer);
  const bound = dialer.attach().then(() => undefined);
  return { listen: `127.0.0.1:${port}`, bound };
}

function print(event: HerdEvent): void {
  console.log(JSON.stringify(event));
}

const names = Array.from({ length: Number(count) }, (_, index) => `storm-${Number(first) + index}`);
const shims = await Promise.all(names.map(startShim));
await Promise.all(shims.map(({ bound }) => bound));
print({ kind: 'ready', listen: shims.map(({ listen }) => listen) });
