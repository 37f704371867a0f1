import type { SessionRow, WorkloadRow } from '../../proxy/control/contract.js';
import type { ShimStatus } from '../../shim/control/contract.js';
import type { ControlClient } from '../../shim/control/rpc-client.js';
import { defined } from '../../shim/program/defined.js';
import { errorCode, errorText } from '../../shim/program/errors.js';
import { programVersion } from '../../shim/program/version.js';
import type { MoveGround } from '../context.js';
import type { AgentVerbs } from '../contract.js';
import { MoveError } from '../errors.js';
import { criuMsMax, recordsReadMax } from '../limits.js';
import { shownMs } from '../output.js';
import { machineIdentity } from '../workload/process.js';
import { lifeOf } from '../workload/store.js';
import { judgeDatabase } from './database.js';
import type { FileFacts, HostFacts, Inspection, TreeFacts } from './facts.js';
import { type Blackout, blocks, type Finding, isFindingCode, sorted, warns } from './finding.js';
import { hostFacts } from './host.js';
import { judgeCarrier, judgeFiles, judgeHosts, judgeParts, judgeTree, judgeVersions } from './judge.js';
import { readDatabase } from './monitor.js';
import { predictBlackout } from './predict.js';
import { lookAgain, treeFacts } from './tree.js';

/** What is known of a workload before its move, and what stands in the way. */
export interface Examination {
  readonly findings: readonly Finding[];
  readonly blackout: Blackout | undefined;
  readonly sessions: readonly SessionRow[];
  /** What the move builds on; whatever could not be found out is a finding. The caller closes the agent. */
  readonly row?: WorkloadRow;
  readonly shimPid?: number;
  readonly agent?: ControlClient<AgentVerbs>;
}

/**
 * Finds every reason against a move that can be found while the application runs; changes nothing. One part that gives no
 * answer is a finding, and the others are asked all the same.
 * @throws what is no reason against a move, such as a fault of ours
 */
export async function examine(context: MoveGround): Promise<Examination> {
  const life = lifeOf(context.workload);
  if (life !== 'running') {
    const findings = [blocks('workload-ended', 'workload', `${context.workload.name} is ${life}`)];
    return { findings, blackout: undefined, sessions: [] };
  }
  const findings: Finding[] = [];
  const status = await answer(findings, 'source', () => context.shim.status());
  const known = status && (await answer(findings, 'proxy', () => askProxy(context, status)));
  if (status !== undefined && known !== undefined) findings.push(...judgeLink(context, status, known));
  const tree = status && (await treeOf(context, status));
  const agent = await answer(findings, 'target', () => connect(context));
  const target = agent && (await answer(findings, 'target', () => inspect(context, agent, tree)));
  if (agent !== undefined && target === undefined) await agent.close();
  if (target !== undefined) findings.push(...(await judgeTarget(context, target, tree)));
  const source =
    tree === undefined
      ? undefined
      : await hostFacts(context.mover.carrier?.check(context.tools), context.store.images ?? context.store.root);
  if (source !== undefined && tree !== undefined) findings.push(...judgeSource(context, source, target, tree));
  if (status !== undefined) findings.push(...judgeVersions(versionsOf(context, status, known, target)));
  const blackout = foretell(context, tree);
  findings.push(...judgeBudget(known?.row, blackout), ...(await askDatabase(context, known, blackout)));
  return {
    ...{ findings: sorted(findings), blackout, sessions: known?.sessions ?? [] },
    ...defined({ row: known?.row, shimPid: status?.pid, agent: target && agent }),
  };
}

/** Of processes that are to be taken along. */
async function treeOf({ mover, workload, store }: MoveGround, { pid }: ShimStatus): Promise<TreeFacts | undefined> {
  if (mover.carrier === undefined) return undefined;
  return treeFacts(workload, pid, mover.carrier.hostPath(workload, store.directory(workload.name)));
}

/** What the workload consists of, as it is here. */
function partsOf({ mover, workload, store }: MoveGround): FileFacts[] {
  return lookAgain(mover.carrier?.parts(workload, store.directory(workload.name)) ?? []);
}

interface Known {
  readonly version: string | undefined;
  readonly row: WorkloadRow | undefined;
  readonly sessions: readonly SessionRow[];
}

async function askProxy({ proxy, workload }: MoveGround, status: ShimStatus): Promise<Known> {
  const life = { name: workload.name, instance: status.instance };
  const { version, workloads } = await proxy.list();
  const row = workloads.find(({ name, instance }) => name === life.name && instance === life.instance);
  return { version, row, sessions: await proxy.sessions(life) };
}

/** A reason that somebody gave for no answer becomes a finding; anything else is thrown. */
async function answer<T>(
  findings: Finding[],
  place: 'source' | 'target' | 'proxy',
  ask: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined || !isFindingCode(code)) throw error;
    findings.push(blocks(code, place, errorText(error)));
    return undefined;
  }
}

function judgeLink({ workload, allowUnknown }: MoveGround, status: ShimStatus, { row, sessions }: Known): Finding[] {
  if (status.state !== 'bound' || row?.state !== 'bound') {
    const why = status.reason ?? row?.why ?? '';
    const found = `the shim of ${workload.name} is ${status.state}, not bound ${why}`.trim();
    return [blocks('not-bound', 'workload', found)];
  }
  return sessions
    .filter(({ movable }) => movable === 'unknown')
    .map((session) => (allowUnknown ? warns : blocks)('session-unknown', 'workload', unknownText(session)));
}

/**
 * What is encrypted, or not understood, is carried like everything else. But nobody can say what such a session is in the middle
 * of, so that somebody has to decide.
 */
function unknownText({ sid, serial, driver, stream, reason, detail }: SessionRow): string {
  const who = sid === undefined ? `stream ${stream}` : `session ${sid},${serial ?? 0}`;
  const whose = driver === undefined ? '' : ` of ${driver}`;
  return `whether ${who}${whose} is in a transaction is not known: ${reason}, ${detail}; --allow-unknown moves it all the same`;
}

async function connect({ target }: MoveGround): Promise<ControlClient<AgentVerbs>> {
  try {
    return await target.connect();
  } catch (cause) {
    throw fromTarget(cause, target.node);
  }
}

async function inspect(
  ground: MoveGround,
  agent: ControlClient<AgentVerbs>,
  tree: TreeFacts | undefined,
): Promise<Inspection> {
  const { workload, target, mover } = ground;
  const { pid, startTicks } = workload;
  const request = {
    workload: workload.name,
    mover: mover.name,
    process: { pid, startTicks },
    ports: [...(tree?.ports ?? [])],
    files: [...(tree?.files ?? []), ...partsOf(ground)].map(({ path }) => path),
  };
  try {
    return await agent.call('inspect', request, { timeoutMs: criuMsMax });
  } catch (cause) {
    throw fromTarget(cause, target.node);
  }
}

/** Errors of our own kind keep their code; what is left is about the connection. */
export function fromTarget(cause: unknown, node: string): MoveError {
  const code = errorCode(cause);
  const aboutConnection = new Set(['unreachable', 'timeout', 'closed', 'not-authorised', 'wrong-contract']);
  if (code === undefined || aboutConnection.has(code))
    return MoveError.noAnswer('agent-unreachable', `agent of ${node}`, cause);
  return cause as MoveError;
}

async function judgeTarget(context: MoveGround, found: Inspection, tree: TreeFacts | undefined): Promise<Finding[]> {
  const { node } = context.target;
  const findings: Finding[] = [];
  if (!found.sharesState) {
    const text = `${node} does not see the files of ${context.workload.name}: all agents need the same --state-dir`;
    findings.push(blocks('state-not-shared', 'target', text));
  }
  if (context.mover.carrier === undefined && found.machine !== machineIdentity()) {
    const text = `relink leaves the processes where they are, and ${node} cannot see them`;
    findings.push(blocks('other-machine', 'target', text));
  }
  if (tree === undefined) return findings;
  if (found.ownImages !== (context.store.images !== undefined)) {
    const [one, other] = found.ownImages ? [node, context.node] : [context.node, node];
    findings.push(blocks('state-not-shared', 'target', `${one} has an --image-dir of its own, ${other} has none`));
  }
  const after = lookAgain(tree.files.map(({ path }) => path));
  findings.push(...judgeParts(partsOf(context), found.files, node));
  return [...findings, ...judgeFiles(tree.files, found.files, after, node)];
}

function judgeSource(
  { workload, node, target, mover }: MoveGround,
  source: HostFacts,
  found: Inspection | undefined,
  tree: TreeFacts,
): Finding[] {
  const { carrier } = mover;
  if (carrier === undefined) return [];
  const isolated = workload.isolated
    ? []
    : [blocks('not-isolated', 'workload', `${workload.name} has no process-id namespace of its own`)];
  const both = found === undefined ? [] : judgeHosts(source, found, target.node, tree);
  const theirs = found === undefined ? [] : judgeCarrier(carrier, found.host, 'target', target.node);
  return [...isolated, ...judgeCarrier(carrier, source, 'source', node), ...theirs, ...judgeTree(tree), ...both];
}

function versionsOf(
  { node, target }: MoveGround,
  shim: ShimStatus,
  proxy: Known | undefined,
  found: Inspection | undefined,
): Record<string, string> {
  const others = {
    shim: shim.version ?? 'unknown',
    ...(proxy === undefined ? {} : { proxy: proxy.version ?? 'unknown' }),
    ...(found === undefined ? {} : { [`agent of ${target.node}`]: found.host.version }),
  };
  return { [`agent of ${node}`]: programVersion(), ...others };
}

function foretell({ mover, store }: MoveGround, tree: TreeFacts | undefined): Blackout | undefined {
  if (tree === undefined && mover.carrier !== undefined) return undefined;
  return predictBlackout(mover, tree?.memoryBytes ?? 0, store.lastRecords(recordsReadMax));
}

function judgeBudget(row: WorkloadRow | undefined, blackout: Blackout | undefined): Finding[] {
  if (row?.budgetMs === undefined || blackout === undefined || row.sessions === 0) return [];
  if (row.budgetMs > blackout.upperMs) return [];
  const found = `held for ${shownMs(row.budgetMs)} at most; the blackout may take ${shownMs(blackout.upperMs)}`;
  const judge = row.budgetMs <= blackout.expectedMs ? blocks : warns;
  return [judge('hold-too-short', 'proxy', found)];
}

async function askDatabase(
  { monitor }: MoveGround,
  known: Known | undefined,
  blackout: Blackout | undefined,
): Promise<Finding[]> {
  const sessions = (known?.sessions ?? []).filter(({ sid }) => sid !== undefined);
  if (monitor === undefined || sessions.length === 0) return [];
  try {
    const facts = await readDatabase(
      monitor,
      sessions.flatMap(({ sid }) => sid ?? []),
    );
    const absence = { blackoutMs: blackout?.upperMs ?? 0, budgetMs: known?.row?.budgetMs };
    return judgeDatabase(sessions, facts, absence);
  } catch (error) {
    const [why = ''] = errorText(error).split('\n');
    return [warns('database-unseen', 'database', `${monitor.user} at ${monitor.connectString}: ${why}`)];
  }
}
