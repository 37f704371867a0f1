/**
 * The database of these tests: a real Oracle, where HOLDFAST_TEST_ORACLE names one, or else holdfast-oracle's server. The tests
 * do not know which: what CI runs against the one is what you run against the other.
 */
import t from 'tap';
import { z } from 'zod';
import { openDatabase } from '../../../fixtures/oracle/postgres.js';
import { startOracleServer } from '../../../fixtures/oracle/server.js';
import { parseConnectString } from '../../../migrate/doctor/connect-string.js';
import { descriptorValue, findDescriptor, parseDescriptor } from '../../../proxy/tns/index.js';
import { type Address, formatAddress } from '../../../shim/program/address.js';

const schema = z.strictObject({ connectString: z.string(), user: z.string(), password: z.string() });

export interface OracleTarget {
  readonly user: string;
  readonly password: string;
  readonly connectString: string;
  /** For holdfast-proxy. */
  readonly database: string;
  readonly isReal: boolean;
  /** The same service through a shim. */
  through(shim: Address): string;
}

/** `{"connectString": "host:1521/service", "user": "...", "password": "..."}`, or `oracle://user:password@host:1521/service`. */
export function parseTarget(text: string): Omit<OracleTarget, 'isReal'> {
  const given = schema.parse(text.startsWith('{') ? JSON.parse(text) : fromUrl(text));
  const target = parseConnectString(given.connectString);
  // Not the text itself in the error: it holds a password.
  if (target === undefined) throw new Error('HOLDFAST_TEST_ORACLE: its connect string is none');
  const data = findDescriptor(parseDescriptor(target.connectData, 'frontend'), 'CONNECT_DATA');
  const names = ['SERVICE_NAME', 'SID', 'SERVER', 'INSTANCE_NAME'].flatMap((name) => {
    const value = data && descriptorValue(data, name);
    return value === undefined ? [] : [`(${name}=${value})`];
  });
  return {
    ...given,
    database: `${target.tls ? 'tcps://' : ''}${formatAddress(target)}`,
    through: ({ host, port }) =>
      `(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=${host})(PORT=${port}))(CONNECT_DATA=${names.join('')}))`,
  };
}

function fromUrl(text: string): unknown {
  const { protocol, username, password, host, pathname } = new URL(text);
  const prefix = { 'oracle:': '', 'tcps:': 'tcps://' }[protocol];
  if (prefix === undefined)
    throw new Error('HOLDFAST_TEST_ORACLE: expected oracle://user:password@host:port/service or JSON');
  return {
    connectString: `${prefix}${host}${pathname}`,
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
}

/** Opens it for the whole file. */
export async function openTarget(): Promise<OracleTarget> {
  const named = process.env.HOLDFAST_TEST_ORACLE;
  if (named !== undefined && named !== '') return { ...parseTarget(named), isReal: true };
  const database = await openDatabase({ services: ['orders'], users: { app: 'app' } });
  const log = { info: () => {}, warn: (fields: object, message: string) => t.comment(message, fields) };
  const server = await startOracleServer({ database, host: '127.0.0.1', port: 0, log });
  t.teardown(async () => {
    await server.close();
    await database.close();
  });
  const connectString = `${formatAddress(server)}/orders`;
  return { ...parseTarget(JSON.stringify({ connectString, user: 'app', password: 'app' })), isReal: false };
}
