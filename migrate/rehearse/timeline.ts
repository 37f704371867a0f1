import type { Action, Operation } from '../judge/history.js';
import type { Lane, Mark, Span, Timeline } from '../report/model.js';
import type { AuditLine } from './audit-file.js';
import type { Done } from './deeds.js';
import type { ApplicationEvent } from './plan.js';

export interface Told {
  readonly fromMs: number;
  readonly toMs: number;
  /** Of each application, by its name. */
  readonly events: ReadonlyMap<string, readonly ApplicationEvent[]>;
  readonly operations: readonly Operation[];
  readonly deeds: readonly Done[];
  readonly machineMs: (line: AuditLine) => number;
  /** Those of this run. */
  readonly lines: readonly AuditLine[];
}

/** Sessions as lanes, what was done to them on the first ones, and binds and blackouts through all lanes of an application. */
export function timelineOf(told: Told): Timeline {
  const { fromMs, toMs } = told;
  const at = (ms: number) => Math.min(Math.max(ms, fromMs), toMs) - fromMs;
  const acts = told.lines
    .filter(({ event }) => event === 'fault')
    .map((line) => faultMark(line, at(told.machineMs(line))));
  const lanes: Lane[] = [
    { name: 'faults', group: '', spans: [], marks: acts },
    { name: 'deeds', group: '', spans: told.deeds.map((done) => deedSpan(done, at)), marks: [] },
  ];
  for (const [name, events] of told.events) {
    const group = groupOf(name, told, at);
    const sessions = new Set(events.flatMap((event) => ('session' in event ? [event.session] : [])));
    for (const session of [...sessions].sort((one, other) => one - other)) {
      const own = events.filter((event) => 'session' in event && event.session === session);
      const mine = told.operations.filter((each) => each.session === session);
      const spans = [...group.spans, ...mine.map((each) => operationSpan(each, at))];
      lanes.push({
        name: `session ${session}`,
        group: name,
        spans: [...spans, ...own.flatMap((event) => slowSpan(event, at))],
        marks: [...group.marks, ...own.flatMap((event) => refusedMark(event, at))],
      });
    }
  }
  return { lengthMs: toMs - fromMs, lanes };
}

type At = (ms: number) => number;

function groupOf(name: string, { deeds, lines, machineMs }: Told, at: At): Pick<Lane, 'spans' | 'marks'> {
  const dark = deeds.filter(({ application, blackoutMs }) => application === name && blackoutMs > 0);
  const own = lines.filter((line) => line.workload === name && (line.event === 'bind' || line.event === 'refuse'));
  return {
    spans: dark.map(({ endedMs, blackoutMs, kind }) => ({
      kind: 'blackout',
      beganMs: at(endedMs - blackoutMs),
      endedMs: at(endedMs),
      label: `${kind}: no answers for ${Math.round(blackoutMs)} ms`,
    })),
    marks: own.map((line) => ({
      kind: line.event === 'bind' ? 'bind' : 'refused',
      atMs: at(machineMs(line)),
      label: line.event === 'bind' ? `bind ${line.epoch} from ${line.address}` : `refused: ${line.code}`,
    })),
  };
}

const spanKinds = { ok: 'ok', fail: 'fail', info: 'info' } as const;

function operationSpan({ op, action, outcome, intended, error, beganMs, endedMs }: Operation, at: At): Span {
  const took = Number.isFinite(endedMs) ? `${Math.round(endedMs - beganMs)} ms` : 'no end';
  const end = intended ? 'rolled back on purpose' : outcome;
  const why = error === undefined || intended ? '' : `, ${error.split('\n')[0]}`;
  return {
    kind: intended ? 'rollback' : spanKinds[outcome],
    beganMs: at(beganMs),
    endedMs: at(endedMs),
    label: `${described(action)}, operation ${op}: ${end}, ${took}${why}`,
  };
}

function described(action: Action): string {
  const { kind, ...rest } = action;
  const words = Object.entries(rest).map(([name, value]) => `${name} ${value}`);
  return [kind, ...words].join(' ');
}

function deedSpan({ kind, beganMs, endedMs, detail, application }: Done, at: At): Span {
  const whom = application === undefined ? '' : ` ${application}`;
  return { kind: 'move', beganMs: at(beganMs), endedMs: at(endedMs), label: `${kind}${whom}: ${detail}` };
}

function faultMark({ fault, act, workload }: AuditLine, atMs: number): Mark {
  const where = [act?.point, act?.call, act?.leg].filter((each) => each !== undefined).join(' ');
  return {
    kind: 'fault',
    atMs,
    label: `${fault}: ${act?.action} ${where}, ${workload ?? ''} session ${act?.session ?? ''}`,
  };
}

function slowSpan(event: ApplicationEvent, at: At): readonly Span[] {
  if (event.type !== 'slow') return [];
  const { call, beganMs, endedMs } = event;
  const label = `${call}: ${Math.round(endedMs - beganMs)} ms`;
  return [{ kind: 'call', beganMs: at(beganMs), endedMs: at(endedMs), label }];
}

function refusedMark(event: ApplicationEvent, at: At): readonly Mark[] {
  if (event.type !== 'refused') return [];
  return [{ kind: 'refused', atMs: at(event.atMs), label: event.error.split('\n')[0] ?? '' }];
}
