#!/usr/bin/env node
import net from 'node:net';
import tls from 'node:tls';
import { linkLimits, shimOptions } from './config.js';
import { serveShimControl } from './control/server.js';
import { Dialer, type DialerOptions } from './dialer.js';
import { newInstance } from './instance.js';
import { DriverListener } from './listener.js';
import { Landing, readingInto } from './program/reading.js';
import { runProgram } from './program/run.js';
import { clientTls, loadSecurity, type Security } from './program/security.js';
import { linkServerName } from './program/server-name.js';

/** Time a broken-off driver connection has for the bytes before the break. */
const lingerMs = 1_000;

await runProgram({
  name: 'holdfast-shim',
  summary: 'Carries the database connections of one application to holdfast-proxy, and takes them along when it moves.',
  options: shimOptions,
  examples: [
    [
      'holdfast-shim --workload orders --proxy db-gate:7400 --secret-file /etc/holdfast/secret',
      'Drivers connect to 127.0.0.1:1521 instead of the database',
    ],
    [
      'HOLDFAST_WORKLOAD=orders holdfast-shim --config /etc/holdfast/shim.yaml --listen 127.0.0.1:1621',
      'The rest from a file',
    ],
  ],
  async main({ settings, log, onStop, serve }) {
    const { workload, proxy } = settings;
    const drivers = new DriverListener({ connectWaitMs: settings.connectWait, lingerMs }, log);
    const dialer = new Dialer({
      workload,
      newInstance,
      target: proxy,
      connect: connector(loadSecurity(settings, { role: 'workload', name: workload }, log), linkServerName(workload)),
      limits: linkLimits(settings),
      log,
      events: drivers.events,
    });
    const port = await drivers.listen(settings.listen.host, settings.listen.port, dialer);
    const listen = { host: settings.listen.host, port };
    onStop('link', () => dialer.stop());
    onStop('drivers', () => drivers.close());
    if (settings.controlSocket !== undefined) {
      const control = await serveShimControl({ path: settings.controlSocket, workload, listen, dialer, drivers });
      onStop('control', () => control.close());
    }
    log.info({ workload, listen, proxy }, 'listening for drivers');
    // The dialer itself logs a refusal; being detached or stopped before the first bind is no error.
    dialer.attach().catch(() => undefined);
    await serve();
    return 0;
  },
});

function connector(security: Security, servername: string): DialerOptions['connect'] {
  return (target, connected) => {
    const secured = clientTls(security, 'link', { role: 'proxy' });
    // TLS reads by itself, records that are no longer than what is in them.
    if (secured !== undefined) {
      return tls.connect({ ...target, ...secured, servername }).once('secureConnect', connected);
    }
    const landing = new Landing();
    const socket: net.Socket = net.connect({ ...target, ...readingInto(landing.next, () => socket) });
    return Object.assign(socket.once('connect', connected), { keep: landing.keep });
  };
}
