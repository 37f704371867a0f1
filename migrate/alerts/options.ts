import { isIP } from 'node:net';
import type { Address } from '../../shim/program/address.js';
import { ConfigError, loadYaml, optional } from '../../shim/program/config.js';
import { mustBePrivate, read } from '../../shim/program/keyring.js';
import { address, path } from '../../shim/program/values.js';
import type { Node } from '../node.js';
import { isLoopback } from '../workload/sockets.js';
import { alertRules } from './rules.js';
import { type AlertServer, serveAlerts } from './server.js';
import { AlertService } from './service.js';

export const alertOptions = {
  'alerts-listen': optional(address(), 'take alerts of Alertmanager or Grafana at http(s)://HOST:PORT/alerts'),
  'alerts-rules': optional(path(), 'YAML file: which alerts empty a node, and which are only told'),
  'alerts-token-file': optional(path(), 'file with the bearer token that senders of alerts must know'),
  'alerts-tls-cert': optional(path(), 'PEM certificate of the port for alerts; without, it must be a loopback address'),
  'alerts-tls-key': optional(path(), 'PEM key of --alerts-tls-cert, where it does not stand in the same file'),
} as const;

export interface AlertSettings {
  readonly alertsListen: Address | undefined;
  readonly alertsRules: string | undefined;
  readonly alertsTokenFile: string | undefined;
  readonly alertsTlsCert: string | undefined;
  readonly alertsTlsKey: string | undefined;
  readonly insecurePlaintext: boolean;
}

const tokenCharactersMin = 16;

/**
 * Serves alerts where that is asked for.
 * @returns undefined when it is not
 * @throws {ConfigError}; {ListenError} address-in-use, bad-address
 */
export async function startAlerts(node: Node, settings: AlertSettings): Promise<AlertServer | undefined> {
  const { alertsListen: listen, alertsRules, alertsTokenFile, alertsTlsCert, alertsTlsKey } = settings;
  if (listen === undefined) return undefined;
  if (alertsRules === undefined || alertsTokenFile === undefined) {
    throw new ConfigError('bad-option', '--alerts-listen needs --alerts-rules and --alerts-token-file');
  }
  const isLocal = listen.host === 'localhost' || (isIP(listen.host) !== 0 && isLoopback(listen.host));
  if (alertsTlsCert === undefined && !isLocal && !settings.insecurePlaintext) {
    const advice = 'give --alerts-tls-cert, or listen on a loopback address behind a proxy that speaks TLS';
    throw new ConfigError('bad-option', `--alerts-listen: the token would be readable on the network: ${advice}`);
  }
  const token = () => readToken(alertsTokenFile);
  token();
  const service = new AlertService(node, loadYaml(alertsRules, alertRules));
  const tls = alertsTlsCert === undefined ? {} : { tls: readPair(alertsTlsCert, alertsTlsKey ?? alertsTlsCert) };
  const server = await serveAlerts({ listen, token, receive: service.receive, log: node.log, ...tls });
  node.log.info({ listen: `${listen.host}:${server.port}`, tls: alertsTlsCert !== undefined }, 'ready for alerts');
  return {
    port: server.port,
    close: async () => {
      service.close();
      await server.close();
    },
  };
}

function readToken(file: string): string {
  const token = read('--alerts-token-file', file).trim();
  mustBePrivate(file, '--alerts-token-file');
  if (token.length >= tokenCharactersMin && /^\S+$/.test(token)) return token;
  const fault = `is shorter than ${tokenCharactersMin} characters, or has spaces in it`;
  throw new ConfigError('bad-option', `--alerts-token-file: ${file} ${fault}: openssl rand -hex 32 makes one`);
}

function readPair(cert: string, key: string): { cert: string; key: string } {
  const pair = { cert: read('--alerts-tls-cert', cert), key: read('--alerts-tls-key', key) };
  mustBePrivate(key, '--alerts-tls-key');
  return pair;
}
