import { z } from 'zod';
import type { FindingCode } from './errors.js';

/** `blocks`: the move would fail, or break something. `warns`: it may, and somebody should look. */
export const severities = ['blocks', 'warns'] as const;
export type Severity = (typeof severities)[number];

export const places = ['workload', 'source', 'target', 'proxy', 'database'] as const;
export type Place = (typeof places)[number];

export const finding = z.object({
  code: z.string(),
  severity: z.enum(severities),
  place: z.enum(places),
  /** What was found: names, numbers. */
  found: z.string(),
  means: z.string(),
  advice: z.string(),
});
export type Finding = z.infer<typeof finding>;

/** What `holdfast preflight` prints. */
export const preflightReport = z.object({
  workload: z.string(),
  from: z.string(),
  to: z.string(),
  mover: z.string(),
  /** Whether a move would be tried: nothing that blocks was found. */
  ok: z.boolean(),
  findings: z.array(finding),
  sessions: z.number(),
  /** Absent when the processes could not be looked at. */
  blackout: z
    .object({
      expectedMs: z.number(),
      /** As long as the worst of the last moves, measured by what was expected of it. */
      upperMs: z.number(),
      memoryBytes: z.number(),
      /** How many moves that is learned from. */
      moves: z.number(),
    })
    .optional(),
});
export type PreflightReport = z.infer<typeof preflightReport>;
export type Blackout = NonNullable<PreflightReport['blackout']>;

export function blocks(code: FindingCode, place: Place, found: string): Finding {
  return { code, severity: 'blocks', place, found, ...explanations[code] };
}

export function warns(code: FindingCode, place: Place, found: string): Finding {
  return { code, severity: 'warns', place, found, ...explanations[code] };
}

export function isFindingCode(code: string): code is FindingCode {
  return Object.hasOwn(explanations, code);
}

/** Those that block first; else in the order in which they were found. */
export function sorted(findings: readonly Finding[]): Finding[] {
  return severities.flatMap((severity) => findings.filter((each) => each.severity === severity));
}

interface Explanation {
  readonly means: string;
  readonly advice: string;
}

const silent = (part: string): Explanation => ({
  means: `a move needs ${part}, and it gives no answer`,
  advice: 'see that it runs and that its address in the cluster file is right',
});

const explanations: Readonly<Record<FindingCode, Explanation>> = {
  'workload-ended': { means: 'there is nothing to move', advice: 'start it again with holdfast run' },
  'agent-unreachable': silent('the agent of the target'),
  'proxy-unreachable': silent('the proxy'),
  'shim-unreachable': silent('the shim'),
  'not-authorised': {
    means: 'that part does not take this agent',
    advice: 'compare secrets or certificates: docs/security.md',
  },
  'wrong-contract': { means: 'that part speaks another version', advice: 'install the same version everywhere' },
  'not-bound': {
    means: 'its sessions are held at the moment, and nobody knows whether it can reach the proxy',
    advice: 'look at the log of the shim; move when holdfast workloads says bound',
  },
  'session-unknown': {
    means: 'nobody can say whether this session is in a transaction',
    advice: 'wait and look again, or move it all the same with --allow-unknown',
  },
  'state-not-shared': {
    means: 'the image would be written where the target does not see it',
    advice: 'give all agents the same directory as --state-dir',
  },
  'other-machine': {
    means: 'relink leaves processes where they are, and the target cannot see them',
    advice: 'move with --mover criu',
  },
  'versions-differ': {
    means: 'parts of different versions were not tried together',
    advice: 'install the same version on all nodes, and restart what is older',
  },
  'criu-missing': {
    means: 'processes cannot be frozen or restored there',
    advice: 'install CRIU 4 and name it with --criu; criu check must pass as root',
  },
  'runc-missing': {
    means: 'containers cannot be frozen or restored there',
    advice: 'install runc 1.1 or later and CRIU 4, and name them with --runc and --criu; criu check must pass as root',
  },
  'podman-missing': {
    means: 'containers of podman cannot be frozen or restored there',
    advice:
      'install podman 4 with runc as its runtime, and CRIU 4, and name them with --podman, --runc and --criu; criu check must pass as root',
  },
  'bundle-differs': {
    means:
      'the container consists of that: its root file system, what is mounted into it, Node.js and Holdfast for its shim',
    advice: 'put the same there under the same path',
  },
  'architecture-differs': {
    means: 'machine code of one does not run on the other',
    advice: 'move to a node of the same architecture',
  },
  'processor-lacks': {
    means: 'libraries have chosen these instructions when they were loaded, and would die of them at the target',
    advice: 'move to a node with the same processor, or start the workload where the fewest features are',
  },
  'kernel-older': {
    means: 'state that the newer kernel keeps may have no place in the older one',
    advice: 'try it with a workload that does not matter, or bring the kernels level',
  },
  'image-space': {
    means: 'the image would not fit',
    advice: 'make room in the file system of --state-dir',
  },
  'target-memory': {
    means: 'the target would swap or kill, this workload or another',
    advice: 'free memory there, raise the limit of its control group, or choose another node',
  },
  'target-processes': {
    means: 'not all processes and threads could be made again',
    advice: 'raise kernel.pid_max or the pids limit of the control group at the target',
  },
  'not-isolated': {
    means: 'CRIU needs the process ids of the tree free at the target, which only a namespace of its own promises',
    advice: 'run the agent as root and start the workload again, or move with --mover relink',
  },
  'being-traced': {
    means: 'a process has one tracer at most, and CRIU has to be it',
    advice: 'end the debugger or strace',
  },
  'port-taken': {
    means: 'the workload listens there, and could not at the target',
    advice: 'stop what listens on that port at the target, or start the workload on another',
  },
  'foreign-connection': {
    means: 'its other end would stay behind: only connections through the shim move',
    advice: 'let the application close it first, or bring the other end into the workload',
  },
  'foreign-socket': {
    means: 'it leads to a process outside the workload, which stays behind',
    advice: 'switch that off (system log, bus, name service cache), or bring the other end into the workload',
  },
  'sockets-unseen': {
    means: 'where the Unix sockets of the processes lead is not known; CRIU says so at the freeze',
    advice: 'install ss (iproute2) at the source',
  },
  'address-bound': {
    means: 'the target has other addresses, and the restore would fail if it is still there',
    advice: 'let the application listen on 127.0.0.1 or on all addresses; a name look-up is over in a moment',
  },
  'descriptor-unsupported': {
    means: 'the kernel does not let CRIU read what is behind it',
    advice: 'switch that off in the application (io_uring, devices, performance counters)',
  },
  'terminal-attached': {
    means: 'the terminal stays behind',
    advice: 'start the workload with holdfast run, with output to files',
  },
  'memory-shared': {
    means: 'System V shared memory belongs to the host and would stay behind',
    advice: 'use files, or memory that processes inherit',
  },
  'file-missing': {
    means: 'a process has it open or mapped, and CRIU opens it again by its path',
    advice: 'put the same file at the same path at the target: the same package, a shared file system',
  },
  'file-differs': {
    means: 'CRIU refuses a file that has changed its size or kind',
    advice: 'install the same version at the target, or share the file',
  },
  'files-unseen': {
    means: 'not all files were compared; CRIU says so at the restore',
    advice: 'compare the rest yourself when the target is not a copy of the source',
  },
  'deleted-file-large': {
    means: 'a deleted file that is still open goes along in the image, up to a limit',
    advice: 'let the application close it',
  },
  'hold-too-short': {
    means: 'the proxy would end the sessions before the target has bound',
    advice: 'raise --hold-transaction, --hold-call or --hold-idle, or holdfast hold pin WORKLOAD',
  },
  'database-limit': {
    means: 'the database may end the session while the application is away; nothing at the proxy can stop it',
    advice: 'let the application do a call first, raise the limit for this user, or move when it is idle for less long',
  },
  'database-unseen': {
    means: 'limits of the database that could cut a held session were not looked at',
    advice: 'grant the monitoring account the view: docs/operations.md, "Before a move"',
  },
  'sessions-wait': {
    means: 'they go on waiting while the application is away',
    advice: 'move when the transaction is over, or accept that they wait as much longer as the blackout',
  },
};
