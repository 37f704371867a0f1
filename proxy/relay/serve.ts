import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../shim/link/socket.js';
import { type Address, formatAddress } from '../../shim/program/address.js';
import { errorText } from '../../shim/program/errors.js';
import type { Logger } from '../../shim/program/log.js';
import { noAudit } from '../audit/entry.js';
import { defaultAuditLimits } from '../audit/limits.js';
import { AuditLog } from '../audit/log.js';
import type { Leg } from '../inject/contract.js';
import { relayApi } from './api.js';
import { RelayError } from './errors.js';
import { Relays } from './relays.js';

export interface RelaySettings {
  /** Of the HTTP API. */
  readonly api: Address;
  /** Relays that are there from the start, named by their legs. */
  readonly relays: readonly { readonly leg: Leg; readonly listen: Address; readonly upstream: Address }[];
  readonly auditLog: string | undefined;
}

export interface RelayProcess {
  readonly api: Address;
  readonly relays: Relays;
  close(): Promise<void>;
}

/** @throws {RelayError} relay-listen-failed @throws {ConfigError} bad-option: the audit log cannot be written */
export async function serveRelays(settings: RelaySettings, log: Logger): Promise<RelayProcess> {
  const path = settings.auditLog;
  const file =
    path === undefined
      ? undefined
      : await AuditLog.open({ path, onFailure: 'continue', limits: defaultAuditLimits, log });
  const relays = new Relays({ audit: file ?? noAudit, clock: systemClock });
  const api = relayApi(relays);
  const close = async (): Promise<void> => {
    await relays.close();
    api.closeAllConnections();
    api.close();
    await file?.close();
  };
  try {
    for (const { leg, listen, upstream } of settings.relays) {
      await relays.create({ name: leg, leg, listen, upstream, enabled: true });
    }
    api.listen(settings.api.port, settings.api.host);
    await once(api, 'listening');
  } catch (cause) {
    await close();
    if (cause instanceof RelayError) throw cause;
    const message = `${formatAddress(settings.api)} cannot be listened on: ${errorText(cause)}`;
    throw new RelayError('relay-listen-failed', message, { cause });
  }
  return { api: { host: settings.api.host, port: (api.address() as AddressInfo).port }, relays, close };
}
