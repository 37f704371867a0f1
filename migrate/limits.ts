/** Time for a shim to answer, to detach, or for the init of a new workload to come up. */
export const shimMsMax = 5_000;
export const startMsMax = 10_000;
/** Time for one run of CRIU: 64 GiB of memory at 1 GiB/s, twice over. */
export const criuMsMax = 120_000;
/** Time for the target to bind; after it the source is put back. */
export const bindMsMax = 15_000;
/** Time for a target to kill a copy that is not wanted; the source waits for it. */
export const abandonMsMax = 5_000;
/** A move that is stranded is taken up again by its agent after this. */
export const strandedRetryMs = 5_000;
/** Time that moves under way get when their agent is stopped; one that takes longer is taken up when it starts again. */
export const movesMsMax = 8_000;
/** Time for a workload to end after SIGTERM, before SIGKILL. */
export const stopMsMax = 5_000;
/** Workloads of one agent. */
export const workloadsMax = 1_000;
/** Words of a command, and variables that it gets. */
export const commandWordsMax = 1_000;
export const environmentMax = 1_000;
/** Mounts of one container. */
export const volumesMax = 100;
/** Greatest ghost file (deleted, still open) that goes along with an image. */
export const ghostBytesMax = 256 * 1_048_576;
/** Moves that an agent lists at once. */
export const historyMax = 1_000;
/** How long a move waits for its moment, unless told otherwise, and how often it looks. */
export const deadlineMsDefault = 30_000;
export const lookMs = 100;
/** How often a step that takes long tells how far it is. */
export const progressMs = 250;
/** How often process states are looked at while waiting for one: the kernel does not announce them to strangers. */
export const pollMs = 2;
/** How often the proxy is asked whether a workload is back. */
export const awaitPollMs = 500;
/** Characters of the names under which an operator is told to a proxy. */
export const actorCharactersMax = 128;
/** Moves of one evacuation at the same time. */
export const concurrencyMax = 32;
/** Labels of a workload, and the characters of each value. */
export const labelsMax = 32;
export const labelCharactersMax = 128;
/** How long an agent looks when it is asked for its load. */
export const loadSampleMs = 500;
/** Files of a workload that are compared with those at the target. */
export const comparedFilesMax = 4_096;
/** Time for the monitoring account to log in, and for each of its queries. */
export const monitorMsMax = 5_000;
/** Moves whose records a prediction reads. */
export const recordsReadMax = 100;
/** Rules for alerts; alerts that are remembered while they fire; bytes of one message, and time for it to arrive. */
export const alertRulesMax = 1_000;
export const alertsMax = 10_000;
export const alertBytesMax = 1_048_576;
export const alertRequestMsMax = 10_000;
/** Connections to the port for alerts. */
export const alertConnectionsMax = 64;
/** What is kept of the output of a hook. */
export const hookOutputBytesMax = 4_096;
