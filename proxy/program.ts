import { proxyOptions } from './config.js';

/** The same command, whichever of its processes runs: what they are told on the command line is the same. */
export const program = {
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
} as const;
