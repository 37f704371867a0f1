import { defaultLimits, type LinkLimits } from './link/index.js';
import { option, optional, required } from './program/config.js';
import { securityOptions } from './program/security.js';
import { address, count, duration, name, path, size } from './program/values.js';

/** Options of one end of the link, the same for shim and proxy. */
export const linkOptions = {
  'link-window': option(size(), '256KiB', 'most unacknowledged bytes per driver connection and direction'),
  'link-heartbeat': option(duration(), '5s', 'a link with nothing to say sends a heartbeat this often'),
  'link-silence': option(duration(), '15s', 'a link on which nothing was heard for this long is taken for broken'),
  'link-handshake': option(duration(), '5s', 'longest time for connecting and binding'),
  'link-streams': option(count(1, 100_000), '10000', 'most driver connections per shim'),
} as const;

export interface LinkSettings {
  readonly linkWindow: number;
  readonly linkHeartbeat: number;
  readonly linkSilence: number;
  readonly linkHandshake: number;
  readonly linkStreams: number;
}

export function linkLimits(settings: LinkSettings): LinkLimits {
  return {
    ...defaultLimits,
    windowBytes: settings.linkWindow,
    heartbeatMs: settings.linkHeartbeat,
    silenceMs: settings.linkSilence,
    handshakeMs: settings.linkHandshake,
    streamsMax: settings.linkStreams,
  };
}

export const shimOptions = {
  workload: required(name(), 'name under which the proxy keeps the sessions of this application'),
  listen: option(address(), '127.0.0.1:1521', 'where drivers connect; port 0 takes a free one'),
  proxy: required(address(), 'where holdfast-proxy accepts links'),
  'control-socket': optional(path(), 'Unix socket on which an agent detaches and attaches this shim'),
  'connect-wait': option(
    duration(),
    '10s',
    'a driver that connects is turned away when there has been no link for longer',
  ),
  ...linkOptions,
  ...securityOptions,
} as const;
