#!/usr/bin/env node
import { randomBytes } from 'node:crypto';
import { linkLimits } from '../shim/config.js';
import { tokenBytes } from '../shim/link/index.js';
import { systemClock } from '../shim/link/socket.js';
import type { Settings } from '../shim/program/config.js';
import type { Logger } from '../shim/program/log.js';
import { runProgram } from '../shim/program/run.js';
import { loadSecurity } from '../shim/program/security.js';
import { type Audit, noAudit } from './audit/entry.js';
import { defaultAuditLimits } from './audit/limits.js';
import { AuditLog } from './audit/log.js';
import { defaultBackendLimits } from './backend/limits.js';
import { BackendSession } from './backend/session.js';
import { dialOrder, formatTarget } from './backend/target.js';
import { loadDatabaseTls } from './backend/tls.js';
import { proxyOptions } from './config.js';
import { serveProxyControl } from './control/server.js';
import { drain } from './drain.js';
import { defaultProxyLimits } from './limits.js';
import { LinkListener } from './listener.js';
import { policyOf } from './policy/options.js';
import { Registry } from './registry.js';

await runProgram({
  name: 'holdfast-proxy',
  summary: 'Holds the Oracle sessions of applications, so that the applications can move without losing them.',
  options: proxyOptions,
  examples: [
    [
      'holdfast-proxy --database dbhost:1521 --secret-file /etc/holdfast/secret',
      'Beside the database; shims come to port 7400, operators to 127.0.0.1:7401',
    ],
    [
      'holdfast-proxy --database tcps://db1:2484,tcps://db2:2484 --database-wallet /etc/holdfast/wallet --secret-file /etc/holdfast/secret',
      'Two listeners with TLS; when one cannot take a session the other is tried',
    ],
    [
      'holdfast-proxy --config /etc/holdfast/proxy.yaml --hold-transaction 2h',
      'Options from a file, one of them changed',
    ],
  ],
  async main({ settings, log, onStop, serve }) {
    const { database: target } = settings;
    const databaseTls = loadDatabaseTls(settings, target);
    const security = loadSecurity(settings, { role: 'proxy' }, log);
    // One clock for all processes of the machine: what it stamps may be taken up by the next one.
    const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();
    const now = (): number => origin + performance.now();
    const limits = {
      ...defaultProxyLimits,
      workloadsMax: settings.workloadsMax,
      instancesPerWorkloadMax: settings.instancesPerWorkload,
      handshakesMax: settings.handshakesMax,
      handshakesPerAddressMax: settings.handshakesPerAddress,
      sessionsMax: settings.sessionsMax,
      sessionsPerWorkloadMax: settings.sessionsPerWorkload,
      sessionsPerUserMax: settings.sessionsPerUser,
      bindsPerSecond: settings.bindsPerSecond,
      bindsAtOnce: Math.ceil(settings.bindsPerSecond / 5),
      workloadBytesMax: settings.memoryWorkload,
      processBytesMax: settings.memoryProcess,
    };
    const backendLimits = {
      ...defaultBackendLimits,
      dialMs: settings.dialTimeout,
      answerMs: settings.answerTimeout,
      connectMs: settings.connectTimeout,
    };
    const audit = await openAudit(settings, log);
    onStop('audit log', () => audit.close());
    const registry = new Registry({
      limits,
      linkLimits: linkLimits(settings),
      policy: policyOf(settings),
      audit,
      log,
      now,
      newToken: () => randomBytes(tokenBytes),
      openBackend: (events, sessionLog, place) =>
        new BackendSession({
          addresses: dialOrder(target, Math.random),
          tls: databaseTls,
          limits: backendLimits,
          log: sessionLog,
          events,
          place,
          now,
        }),
    });
    const links = new LinkListener({ registry, limits, linkLimits: linkLimits(settings), security, log });
    const port = await links.listen(settings.listen.host, settings.listen.port);
    onStop('links', () => links.close());
    onStop('sessions', () => registry.stop());
    const control = await serveProxyControl(
      registry,
      settings.controlSocket === undefined
        ? { address: settings.controlListen, security }
        : { path: settings.controlSocket },
      now,
      log,
    );
    onStop('control', () => control.close());
    const listening = { host: settings.listen.host, port };
    const controls = settings.controlSocket ?? { host: settings.controlListen.host, port: control.port };
    log.info({ listen: listening, control: controls, database: formatTarget(target) }, 'ready for shims');
    audit.record({ event: 'start' });
    await serve();
    audit.record({ event: 'stop' });
    await drain({ registry, waitMs: settings.drain, enough: serve(), clock: systemClock, log });
    return 0;
  },
});

async function openAudit(settings: Settings<typeof proxyOptions>, log: Logger): Promise<Audit & { close(): unknown }> {
  const { auditLog: path, auditOnFailure: onFailure } = settings;
  if (path === undefined) return { ...noAudit, close: () => undefined };
  const audit = await AuditLog.open({ path, onFailure, limits: defaultAuditLimits, log });
  process.on('SIGHUP', () => audit.reopen());
  return audit;
}
