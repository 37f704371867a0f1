import type { Dialer } from '../dialer.js';
import type { DriverListener } from '../listener.js';
import type { Address } from '../program/address.js';
import { programVersion } from '../program/version.js';
import { shimContract } from './contract.js';
import { type ControlServer, serveControl } from './rpc-server.js';

export interface ShimControlOptions {
  readonly path: string;
  readonly workload: string;
  readonly listen: Address;
  readonly dialer: Dialer;
  readonly drivers: DriverListener;
}

/**
 * Answers the shim's verbs on a Unix socket.
 * @throws {ControlError} address-in-use, bad-address
 */
export function serveShimControl({
  path,
  workload,
  listen,
  dialer,
  drivers,
}: ShimControlOptions): Promise<ControlServer> {
  return serveControl(
    shimContract,
    {
      status: async () => {
        const { state } = dialer;
        return {
          workload,
          instance: dialer.instance,
          pid: process.pid,
          version: programVersion(),
          state: state.kind,
          ...(state.kind === 'refused' ? { verdict: state.verdict, reason: state.reason } : {}),
          epoch: dialer.epoch,
          streams: dialer.link.streamCount,
          drivers: drivers.connections,
          storedBytes: dialer.link.storedBytes,
          listen,
          ...(dialer.lastBind === undefined ? {} : { lastBind: dialer.lastBind }),
        };
      },
      detach: async () => {
        const startedMs = performance.now();
        await dialer.detach();
        return { streams: dialer.link.streamCount, elapsedMs: performance.now() - startedMs };
      },
      fingerprints: async () => ({
        epoch: dialer.epoch,
        sessions: [...dialer.link.fingerprints()].map(([stream, { sent, received }]) => ({
          stream,
          ...(sent === undefined ? {} : { up: sent }),
          ...(received === undefined ? {} : { down: received }),
        })),
      }),
      attach: ({ proxy, localAddress }) => dialer.attach({ ...proxy, localAddress }),
    },
    { path },
  );
}
