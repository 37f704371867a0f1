import { z } from 'zod';
import { moverNames } from '../record.js';

const addressValue = z.object({ host: z.string(), port: z.number().int().min(0).max(65_535) });

/** What a node says of itself before a move. */
export const hostFacts = z.object({
  version: z.string(),
  /** What the mover needs: its version, or why it does not work here. Absent when it needs nothing. */
  carrier: z.object({ version: z.string().optional(), missing: z.string().optional() }).optional(),
  /** As `uname -m` puts it into process.arch. */
  architecture: z.string(),
  /** Features of the processor that programs use, as in /proc/cpuinfo. */
  processor: z.array(z.string()),
  kernel: z.string(),
  /** What can still be taken, by the machine and by the agent's control group. */
  memoryFreeBytes: z.number(),
  processesFree: z.number(),
  /** In the file system of --state-dir. */
  imageFreeBytes: z.number(),
});
export type HostFacts = z.infer<typeof hostFacts>;

/** A file that a process has open or mapped, by the path it is known under. */
export const fileFacts = z.object({
  path: z.string(),
  kind: z.enum(['file', 'directory', 'other', 'missing']),
  bytes: z.number(),
  /** Open for writing: its size may change while one looks. */
  written: z.boolean(),
});
export type FileFacts = z.infer<typeof fileFacts>;

/** What the target is asked. */
export const inspectRequest = z.object({
  workload: z.string(),
  mover: z.enum(moverNames),
  /** Of the workload as the source has stored it: the target sees the same, or another directory. */
  process: z.object({ pid: z.number(), startTicks: z.string() }),
  ports: z.array(addressValue),
  files: z.array(z.string()),
});
export type InspectRequest = z.infer<typeof inspectRequest>;

export const inspection = z.object({
  /** Where the target's workloads come from. */
  address: z.string(),
  machine: z.string(),
  host: hostFacts,
  sharesState: z.boolean(),
  /** Images are in a directory of that node alone. */
  ownImages: z.boolean(),
  /** Of the ports asked for, those in use. */
  portsTaken: z.array(addressValue),
  files: z.array(fileFacts),
});
export type Inspection = z.infer<typeof inspection>;

/** What a tree of processes is made of. */
export interface TreeFacts {
  readonly processes: number;
  readonly threads: number;
  /** What an image would hold: anonymous memory, also swapped out, and shared memory. */
  readonly memoryBytes: number;
  readonly files: readonly FileFacts[];
  /** More files than are compared. */
  readonly filesLeftOut: number;
  /** Deleted and still open. */
  readonly deleted: readonly { readonly path: string; readonly bytes: number }[];
  /** Of descriptors that CRIU cannot restore. */
  readonly unsupported: readonly string[];
  readonly terminals: readonly string[];
  readonly hasSharedMemory: boolean;
  /** Processes with a tracer. */
  readonly traced: readonly number[];
  readonly ports: readonly { readonly host: string; readonly port: number }[];
  /** TCP connections with an end outside, as `local to remote`. */
  readonly foreignConnections: readonly string[];
  /** Unix sockets with an end outside; undefined when that cannot be seen. */
  readonly foreignSockets: readonly string[] | undefined;
  /** Local addresses that only the source has. */
  readonly boundAddresses: readonly string[];
}
