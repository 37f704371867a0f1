import { z } from 'zod';
import type { Address } from '../shim/program/address.js';
import { loadYaml, required } from '../shim/program/config.js';
import { address, name, path } from '../shim/program/values.js';
import { MoveError } from './errors.js';

/** The file that operators and agents share: where the agents are, and where the proxy is. */
const schema = z.strictObject({
  nodes: z.record(name().schema, z.strictObject({ agent: address().schema })),
  proxy: z.strictObject({ data: address().schema, control: address().schema }),
});

export interface Cluster {
  readonly nodes: Readonly<Record<string, { readonly agent: Address }>>;
  readonly proxy: { readonly data: Address; readonly control: Address };
}

export const clusterOptions = {
  cluster: required(path(), 'YAML file that names the nodes and the proxy'),
} as const;

/** @throws {ConfigError} naming the place in the file */
export function loadCluster(file: string): Cluster {
  return loadYaml(file, schema);
}

/** @throws {MoveError} unknown-node */
export function agentAddress(cluster: Cluster, node: string): Address {
  const found = Object.hasOwn(cluster.nodes, node) ? cluster.nodes[node] : undefined;
  if (found !== undefined) return found.agent;
  const known = Object.keys(cluster.nodes).join(', ') || 'none';
  throw new MoveError('unknown-node', `there is no node ${node}; the cluster file names ${known}`);
}
