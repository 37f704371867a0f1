import { linkOptions } from '../shim/config.js';
import { option, optional, required } from '../shim/program/config.js';
import { securityOptions } from '../shim/program/security.js';
import { address, choice, count, duration, flag, list, parsed, path, size, text } from '../shim/program/values.js';
import { addressesMax } from './backend/limits.js';
import { parseTarget } from './backend/target.js';
import { workersMax } from './limits.js';
import { holdRules } from './policy/options.js';
import { endings } from './policy/rules.js';

const target = parsed(
  'ADDRESS',
  `HOST:PORT or tcps://HOST:PORT, up to ${addressesMax} of them with commas between, or (DESCRIPTION=(ADDRESS=...))`,
  parseTarget,
);

const holdOptions = {
  'hold-transaction': option(duration(), '15m', 'how long sessions with a transaction open are held without a link'),
  'hold-call': option(duration(), '15m', 'how long sessions with a call in flight are held without a link'),
  'hold-idle': option(duration(), '5m', 'how long all others are held without a link'),
  'hold-at-end': option(choice(...endings), 'close', 'what happens then; close lets the database roll back'),
  'hold-warn': option(list(duration()), '5m,1m', 'with how much time left somebody is warned, in log and audit log'),
  'hold-owner': optional(text('NAME'), 'who decides about holds, for those who read lists and the audit log'),
  'hold-rules': option(holdRules(), '[]', 'the same for some services and users; a list in the file of --config'),
} as const;

export const proxyOptions = {
  database: required(target, "the database's listeners, tried in this order; services are named by the drivers"),
  'database-wallet': optional(
    path(),
    'for tcps: PEM file, or directory with ewallet.pem: trusted authorities, and a client certificate with its key if one is asked for',
  ),
  'wallet-password-file': optional(path(), 'file with the password of the key in the wallet'),
  'database-dn': optional(text('DN'), 'for tcps: subject of the certificate, instead of the name of the host'),
  'database-sni': option(
    choice('off', 'host', 'service'),
    'off',
    'for tcps: server name in the handshake; service names the service as drivers do with USE_SNI',
  ),
  listen: option(address(), '0.0.0.0:7400', 'where shims bring their links'),
  'control-listen': option(address(), '127.0.0.1:7401', 'where operators and agents ask; port 0 takes a free one'),
  'control-socket': optional(path(), 'Unix socket for the same, instead of --control-listen'),
  ...holdOptions,
  journal: option(
    text('DIRECTORY'),
    'memory',
    'where sessions are put down for the next worker; memory: a new directory in /dev/shm; off: they end with their worker',
  ),
  'audit-log': optional(
    path(),
    'file to which every bind, hold, refusal, decision and move is appended, as JSON lines',
  ),
  'audit-on-failure': option(
    choice('continue', 'refuse'),
    'continue',
    'when it cannot be written: go on, or let no new application begin; running ones always go on',
  ),
  workers: option(
    count(1, workersMax),
    '1',
    'processes that serve sessions, one for each core; an application is always served by one of them, chosen by its name. Limits of the whole proxy hold for each in equal parts',
  ),
  'allow-faults': option(
    flag(),
    'false',
    'faults may be injected (holdfast inject), for tests; never where people rely on the sessions',
  ),
  'workloads-max': option(count(1, 100_000), '4096', 'most applications served at one time'),
  'instances-per-workload': option(count(1, 100_000), '1024', 'most shims, started or held, under one workload name'),
  drain: option(
    duration(),
    '10s',
    'how long SIGTERM waits for holds, calls and transactions to end; a second one does not',
  ),
  'handshakes-max': option(count(1, 100_000), '1024', 'most links that have not finished their handshake'),
  'handshakes-per-address': option(
    count(1, 100_000),
    '256',
    'the same of one address, while it has not proved who it is',
  ),
  'sessions-max': option(
    count(1, 1_000_000),
    '50000',
    'most database sessions; one more is refused as a listener does it',
  ),
  'sessions-per-workload': option(count(1, 1_000_000), '10000', 'the same of one application'),
  'sessions-per-user': option(
    count(1, 1_000_000),
    '50000',
    'the same of one database user; one more ends at its login',
  ),
  'binds-per-second': option(count(1, 100_000), '500', 'most applications that bind in a second; others are told when'),
  'memory-workload': option(size(), '64MiB', 'most bytes kept of one application and direction'),
  'memory-process': option(size(), '512MiB', 'most bytes kept of all applications and one direction'),
  'dial-timeout': option(
    duration(),
    '10s',
    'longest time for a TCP connection to the database, and for its TLS handshake',
  ),
  'answer-timeout': option(
    duration(),
    '15s',
    'longest time for a listener to answer while there is another one to try',
  ),
  'connect-timeout': option(duration(), '60s', 'longest time for the database to accept a session'),
  ...linkOptions,
  ...securityOptions,
} as const;
