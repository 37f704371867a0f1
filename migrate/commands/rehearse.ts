import { randomInt } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, option, optional } from '../../shim/program/config.js';
import { defineCommand, type Run } from '../../shim/program/run.js';
import { securityOptions } from '../../shim/program/security.js';
import { choice, count, flag, parsed, path, readTextFile, text } from '../../shim/program/values.js';
import { programVersion } from '../../shim/program/version.js';
import { parseConnectString } from '../doctor/connect-string.js';
import { Running, type RunningReport } from '../inject/running.js';
import { proxyTarget, relayTarget } from '../inject/targets.js';
import { Operator } from '../operator.js';
import { printJson } from '../output.js';
import type { Database, Ground } from '../rehearse/ground.js';
import type { Report } from '../report/model.js';
import { junitText, summaryText, tapText } from '../report/text.js';
import { writeReport } from '../report/write.js';
import { parseRunning, parseScenario } from '../scenario/parse.js';
import { applyReplay, readActs } from '../scenario/replay.js';
import { scenarioJsonSchema } from '../scenario/schema.js';

const minuteMs = 60_000;
const minutesMax = 1_440;
/** As shells have it for a command that Ctrl-C has ended. */
const exitInterrupted = 130;
/** Transactions of a session stay open for so long that faults meet them in the middle. */
const pauseMsMax = 40;

const minutes = parsed('MINUTES', `minutes, 0.1 to ${minutesMax}`, (word) => {
  const number = /^\d+(\.\d+)?$/.test(word) ? Number(word) : Number.NaN;
  return number >= 0.1 && number <= minutesMax ? number : undefined;
});

/** Where transactions go, and in which form one is told; the same for a rehearsal and for a scenario. */
export const playOptions = {
  connect: optional(text('HOST:PORT/SERVICE'), 'a database of yours; left out, one is started (holdfast-oracle)'),
  user: optional(text('NAME'), 'who logs in there; needs CREATE SESSION, CREATE TABLE and a quota'),
  'password-file': optional(path(), 'file with the password; left out, it is taken from HOLDFAST_PASSWORD'),
  report: optional(path('DIR'), 'directory for report.html, report.xml (JUnit), report.tap and report.json'),
  format: option(choice('summary', 'tap', 'junit'), 'summary', 'what is printed'),
  json: option(flag(), 'false', 'print one JSON object on stdout'),
} as const;

export const rehearse = defineCommand({
  name: 'rehearse',
  summary: 'Puts real applications under faults and moves, and judges by their histories and the database.',
  options: {
    minutes: option(minutes, '3', 'how long faults go on'),
    seed: optional(count(0, 0xffff_ffff), 'the same seed draws the same faults and moves; printed when left out'),
    applications: option(count(1, 8), '2', 'workloads, each with its shim'),
    sessions: option(count(1, 200), '24', 'of all applications together'),
    'shrink-trials': option(count(0, 1_000), '12', 'shorter schedules that are tried when one fails'),
    ...playOptions,
  },
  examples: [
    ['holdfast rehearse', 'Three minutes on this machine; no root, no database needed'],
    [
      'holdfast rehearse --minutes 30 --seed 11 --report out',
      'The same again as long as you like, with a page to look at',
    ],
    [
      'HOLDFAST_PASSWORD=... holdfast rehearse --connect dbhost:1521/orders --user app',
      'Against your own database; tables HFR_... are made, and dropped again',
    ],
  ],
  async main({ settings, onStop }) {
    const { drawSchedule } = await import('../rehearse/schedule.js');
    const rehearsal = await import('../rehearse/rehearse.js');
    const seed = settings.seed ?? randomInt(0xffff_ffff);
    const say = progressTo(process.stderr, settings.json);
    say(`seed ${seed}`);
    const { applications, sessions, shrinkTrials } = settings;
    const ground = await openGround(settings, []);
    onStop('installation', () => ground.close());
    const durationMs = settings.minutes * minuteMs;
    const hasRelay = ground.relay !== undefined;
    const scenario = drawSchedule({ seed, durationMs, applications, sessions, pauseMsMax, hasRelay });
    const prefix = `HFR_${randomInt(1e6)}`;
    const startedAt = new Date().toISOString();
    const { report: run, shortest } = await rehearsal.rehearse({
      ground,
      scenario,
      name: 'rehearsal',
      forMs: durationMs,
      prefix,
      shrinkTrialsMax: shrinkTrials,
      say,
    });
    const report = reportOf('rehearsal', startedAt, [run]);
    if (shortest !== undefined) {
      const file = join(settings.report ?? '.', `rehearsal-${seed}.yaml`);
      if (settings.report !== undefined) writeReport(settings.report, report);
      writeFileSync(file, shortest.yaml);
      say(`${shortest.steps} steps are enough to fail; repeat them: holdfast inject run ${file}`);
    }
    const { verdict, faults, faultsActed, transactions, failures, seconds } = run;
    tell(settings, report, {
      passed: run.passed,
      seed,
      seconds,
      transactions,
      faultsActed,
      kindsOfFaults: faults.length,
      faults,
      failures,
      ...verdict,
      shortest,
    });
    return run.passed ? 0 : 1;
  },
});

const runOptions = {
  replay: optional(path(), 'report.json or log of an earlier run: faults act at the same calls of the same sessions'),
  schema: option(flag(), 'false', 'print the JSON schema of scenario files, for editors'),
  running: option(flag(), 'false', 'play it on the applications that run at the proxy of --cluster'),
  log: optional(path('FILE.jsonl'), 'with --running: each act as a JSON line, for --replay'),
  cluster: optional(path(), 'with --running: YAML file that names the proxy'),
  relay: optional(text('URL'), 'with --running: HTTP address of a relay, for faults of transport'),
  ...securityOptions,
  ...playOptions,
} as const;

export const injectRun = defineCommand({
  name: 'run',
  summary: 'Plays a scenario file, and says whether what must hold has held.',
  positional: '[file]',
  options: runOptions,
  examples: [
    ['holdfast inject run commit-without-answer.yaml', 'Play it; see docs/failure-injection.md for the file'],
    ['holdfast inject run slow.yaml --report out', 'With a page to look at: out/report.html'],
    ['holdfast inject run slow.yaml --replay out/report.json', 'The same faults at the same places again'],
    [
      'holdfast inject run lost.yaml --running --cluster cluster.yaml --log acts.jsonl',
      'On your own application, whose proxy runs with --allow-faults; Ctrl-C removes the faults',
    ],
    ['holdfast inject run --schema > scenario.schema.json', 'So that an editor completes and checks'],
  ],
  async main(run) {
    const { settings, args, onStop } = run;
    if (settings.schema) {
      printJson(scenarioJsonSchema());
      return 0;
    }
    const [file] = args;
    if (file === undefined) throw new ConfigError('bad-option', 'which scenario? holdfast inject run FILE');
    if (settings.running) return runRunning(run, file);
    if (settings.log !== undefined) throw new ConfigError('bad-option', '--log: only with --running');
    const read = parseScenario(readTextFile(file), file);
    const scenario = settings.replay === undefined ? read : applyReplay(read, readActs(settings.replay));
    const { play } = await import('../rehearse/play.js');
    const say = progressTo(process.stderr, settings.json);
    const ground = await openGround(settings, scenario.proxy);
    onStop('installation', () => ground.close());
    const startedAt = new Date().toISOString();
    const played = await play({ ground, scenario, name: file, prefix: `HFR_${randomInt(1e6)}`, say });
    tell(settings, reportOf(file, startedAt, [played]), played);
    return played.passed ? 0 : 1;
  },
});

/** @throws {ConfigError} bad-option @throws {ScenarioError} {InjectError} */
async function runRunning({ settings, onStop, onInterrupt }: Run<typeof runOptions>, file: string): Promise<number> {
  const { cluster, relay, log, json } = settings;
  if (cluster === undefined) throw new ConfigError('bad-option', '--cluster: which proxy do the applications run at?');
  for (const name of ['connect', 'report'] as const)
    if (settings[name] !== undefined) throw new ConfigError('bad-option', `--${name}: not with --running`);
  const read = parseRunning(readTextFile(file), file);
  const scenario = settings.replay === undefined ? read : applyReplay(read, readActs(settings.replay));
  const isTransport = scenario.steps.some(({ faults }) => faults.some(({ kind }) => kind === 'transport'));
  if (isTransport && relay === undefined)
    throw new ConfigError('bad-option', '--relay: the scenario has faults of transport, which a relay makes');
  const { proxy } = new Operator({ ...settings, cluster });
  if (log !== undefined) writeFileSync(log, '');
  const running = new Running({
    proxy: proxyTarget(proxy),
    relay: relay === undefined ? undefined : relayTarget(relay),
    sessions: () => proxy.sessions(),
    scenario,
    onAct: (act) => log === undefined || appendFileSync(log, `${JSON.stringify(act)}\n`),
    say: progressTo(process.stderr, json),
  });
  onStop('faults', () => running.close());
  onInterrupt(() => running.interrupt());
  const report = await running.play();
  if (json) printJson(report);
  else process.stdout.write(runningText(report));
  if (report.interrupted) return exitInterrupted;
  return report.passed ? 0 : 1;
}

function runningText({ passed, seed, failures, faults, sessions: { before, gone, after } }: RunningReport): string {
  const acts = faults.map(({ id, acts }) => `${id}: acted ${acts} times\n`).join('');
  const said = failures.map((failure) => `FAILED: ${failure}\n`).join('');
  const kept = `sessions: ${before} as it began, ${gone} of them gone, ${after} now\n`;
  return `${acts}${kept}${said}${passed ? 'passed' : 'FAILED'}; seed ${seed}; the faults are removed\n`;
}

interface PlaySettings {
  readonly connect: string | undefined;
  readonly user: string | undefined;
  readonly passwordFile: string | undefined;
  readonly report: string | undefined;
  readonly format: 'summary' | 'tap' | 'junit';
  readonly json: boolean;
}

async function openGround(settings: PlaySettings, proxyOptions: readonly string[]): Promise<Ground> {
  const { Ground } = await import('../rehearse/ground.js');
  return Ground.open(databaseOf(settings), ['--allow-faults', ...proxyOptions]);
}

/** @throws {ConfigError} bad-option */
function databaseOf({ connect, user, passwordFile }: PlaySettings): Database | undefined {
  if (connect === undefined) return undefined;
  const target = parseConnectString(connect);
  const found = /^([^/]+:\d+)\/([^/]+)$/.exec(connect);
  if (target === undefined || found === null)
    throw new ConfigError('bad-option', '--connect: expected HOST:PORT/SERVICE');
  const password = passwordFile === undefined ? process.env.HOLDFAST_PASSWORD : readTextFile(passwordFile).trim();
  if (user === undefined) throw new ConfigError('bad-option', '--user: who logs in at --connect?');
  if (password === undefined)
    throw new ConfigError('bad-option', '--password-file or HOLDFAST_PASSWORD: the password of --user');
  const [, address = '', service = ''] = found;
  return { address, service, user, password };
}

export function reportOf(title: string, startedAt: string, runs: Report['runs']): Report {
  const seconds = Math.round(runs.reduce((sum, run) => sum + run.seconds, 0) * 10) / 10;
  return { title, startedAt, version: programVersion(), passed: runs.every(({ passed }) => passed), seconds, runs };
}

function tell(settings: PlaySettings, report: Report, asJson: object): void {
  if (settings.report !== undefined) writeReport(settings.report, report);
  if (settings.json) printJson(asJson);
  else process.stdout.write(textOf(settings.format, report));
}

function textOf(format: PlaySettings['format'], report: Report): string {
  if (format === 'tap') return tapText(report);
  if (format === 'junit') return junitText(report);
  const [run] = report.runs;
  const words = `${report.passed ? 'passed: history and database agree' : 'FAILED'}; seed ${run?.seed}`;
  const errors = Object.entries(run?.verdict.errors ?? {}).map(([code, times]) => `${code} ${times} times`);
  const seen = errors.length === 0 ? '' : `; applications saw ${errors.join(', ')}`;
  return `${summaryText(report, process.stdout.columns ?? 80)}\n${words}${seen}\n`;
}

/** On a terminal one line that changes; elsewhere a line now and then. For programs nothing. */
export function progressTo(out: NodeJS.WriteStream, isJson: boolean): (text: string) => void {
  if (isJson) return () => undefined;
  return (words) => out.write(out.isTTY ? `\r\x1b[K${words}` : `${words}\n`);
}
