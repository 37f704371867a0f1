import { Command, CommanderError, Option as CommanderOption } from 'commander';
import { ConfigError, environmentName, type OptionSet, optional, resolveSettings, type Settings } from './config.js';
import { CodedError, errorText } from './errors.js';
import { type Logger, logOptions, makeLogger } from './log.js';
import { path, readTextFile } from './values.js';

const exitFailed = 1;
const exitBadUse = 2;
const exitSignalBase = 128;
const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;

/** A stop function that takes longer is left behind: a supervisor would send SIGKILL next. */
const stopMsMax = 10_000;

const commonOptions = {
  config: optional(path(), 'YAML file with any of these options, without the dashes'),
  ...logOptions,
} as const;

type CommonSettings = Settings<typeof commonOptions>;

/** What a command's main function works with. */
export interface Run<Options extends OptionSet> {
  readonly settings: Settings<Options> & CommonSettings;
  readonly args: readonly string[];
  readonly log: Logger;
  /** Called when the program ends, however it ends; the last one registered comes first. */
  onStop(what: string, stop: () => unknown): void;
  /** Resolves when SIGTERM or SIGINT asks for a stop. Makes the program a service: being stopped is then success. */
  serve(): Promise<void>;
}

export interface CommandSpec<Options extends OptionSet> {
  /** `holdfast-shim`, or the word after `holdfast`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** Positional arguments as commander writes them: `<workload>`, `[command...]`. */
  readonly positional?: string;
  readonly options: Options;
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** The exit code, 0 when it gives none. Errors with a code end in one line on stderr. */
  main(run: Run<Options>): Promise<number | undefined>;
}

/** A command with the type of its options hidden, for lists of commands. */
export interface DefinedCommand {
  register(program: Command, programName: string): void;
}

export function defineCommand<Options extends OptionSet>(spec: CommandSpec<Options>): DefinedCommand {
  return {
    register(program, programName) {
      addOptions(program, { ...spec.options, ...commonOptions });
      for (const word of spec.positional?.split(' ') ?? []) program.argument(word);
      // From the first word of a command line to run, everything belongs to that command.
      program.passThroughOptions(spec.positional?.includes('...') ?? false);
      program.summary(spec.summary).description(spec.summary);
      program.addHelpText('after', helpAfter(spec.examples));
      program.action(async () => {
        const flags = program.opts<Record<string, unknown>>();
        await perform(programName, spec, flagsByName(program, flags), program.args);
      });
    },
  };
}

/** Runs a program that is one command. Call it last in `main.ts`; it ends the process. */
export async function runProgram<Options extends OptionSet>(spec: CommandSpec<Options>): Promise<void> {
  const program = prepared(new Command(spec.name));
  defineCommand(spec).register(program, spec.name);
  await parse(program, spec.name);
}

/** Runs a program with sub-commands. */
export async function runPrograms(
  name: string,
  summary: string,
  commands: Readonly<Record<string, DefinedCommand>>,
): Promise<void> {
  const program = prepared(new Command(name)).description(summary).enablePositionalOptions();
  for (const [word, command] of Object.entries(commands)) {
    const child = prepared(program.command(word));
    command.register(child, `${name} ${word}`);
  }
  program.helpCommand(false);
  await parse(program, name);
}

function prepared(command: Command): Command {
  return command
    .exitOverride()
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: () => undefined })
    .version(programVersion(), '--version', 'print the version')
    .helpOption('--help', 'print this help');
}

async function parse(program: Command, name: string): Promise<void> {
  try {
    await program.parseAsync();
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return;
    if (thrown.code === 'commander.help') {
      process.exitCode = exitBadUse;
      return;
    }
    failUse(name, thrown.message.replace(/^error: /, '').replaceAll('\n', ' '));
  }
}

function failUse(name: string, message: string): void {
  process.stderr.write(`${name}: ${message}\n`);
  process.exitCode = exitBadUse;
}

function addOptions(program: Command, options: OptionSet): void {
  for (const [name, spec] of Object.entries(options)) {
    const flags = spec.kind.isSwitch ? `--${name}` : `--${name} <${spec.kind.placeholder}>`;
    const facts = [
      ...(spec.presence === 'required' ? ['required'] : []),
      ...(spec.default !== undefined && !spec.kind.isSwitch ? [`default ${spec.default}`] : []),
      environmentName(name),
    ];
    program.addOption(new CommanderOption(flags, `${spec.help} (${facts.join('; ')})`));
  }
}

function flagsByName(program: Command, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(program.options.map((each) => [each.name(), values[each.attributeName()]]));
}

function helpAfter(examples: CommandSpec<OptionSet>['examples']): string {
  const lines = examples.map(([line, what]) => `  ${what}:\n    ${line}`);
  const order = 'Flags win over environment variables (names in capitals), those over the file of --config.';
  return `\n${order}\n\nExamples:\n${lines.join('\n')}`;
}

/** Steps 3 of the life of a program: settings, main, stop functions. Ends the process. */
async function perform<Options extends OptionSet>(
  programName: string,
  spec: CommandSpec<Options>,
  flags: Record<string, unknown>,
  args: readonly string[],
): Promise<void> {
  const stops: { what: string; stop: () => unknown }[] = [];
  let life: Life | undefined;
  try {
    const settings = settingsOf(spec.options, flags);
    const log = makeLogger(programName.replace(' ', '-'), settings);
    life = new Life(log, stops);
    const { serve } = life;
    const exitCode = await spec.main({
      settings,
      args,
      log,
      onStop: (what, stop) => stops.push({ what, stop }),
      serve,
    });
    await life.end(exitCode ?? 0);
  } catch (thrown) {
    const code = thrown instanceof CodedError && !(thrown instanceof ConfigError) ? `${thrown.code}: ` : '';
    process.stderr.write(`${programName}: ${code}${errorText(thrown)}\n`);
    const exitCode = thrown instanceof ConfigError ? exitBadUse : exitFailed;
    if (life === undefined) process.exitCode = exitCode;
    else await life.end(exitCode);
  }
}

function settingsOf<Options extends OptionSet>(options: Options, flags: Record<string, unknown>) {
  const environment = process.env;
  const { config: file } = resolveSettings({ config: commonOptions.config }, { flags, environment });
  return resolveSettings({ ...options, ...commonOptions }, { flags, environment, file }) as Settings<Options> &
    CommonSettings;
}

/** Signals, last errors and the order of stopping, of the one command that a process runs. */
class Life {
  readonly #log: Logger;
  readonly #stops: { what: string; stop: () => unknown }[];
  #ending = false;
  #askStop: (() => void) | undefined;

  constructor(log: Logger, stops: { what: string; stop: () => unknown }[]) {
    this.#log = log;
    this.#stops = stops;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#onSignal(signal));
    process.on('uncaughtException', (error) => this.#onLost(error));
    process.on('unhandledRejection', (reason) => this.#onLost(reason));
  }

  readonly serve = (): Promise<void> =>
    new Promise((resolve) => {
      this.#askStop = resolve;
    });

  /** Runs the stop functions, then exits; a second call does nothing. */
  async end(exitCode: number): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const timer = setTimeout(() => {
      this.#log.error({ stopMsMax }, 'stopping took too long');
      process.exit(exitCode || exitFailed);
    }, stopMsMax);
    for (const { what, stop } of this.#stops.toReversed()) {
      try {
        await stop();
      } catch (error) {
        this.#log.warn({ err: error, what }, 'did not stop cleanly');
      }
    }
    clearTimeout(timer);
    process.exit(exitCode);
  }

  #onSignal(signal: 'SIGINT' | 'SIGTERM'): void {
    if (this.#askStop !== undefined) {
      this.#log.info({ signal }, 'stopping');
      this.#askStop();
    } else void this.end(exitSignalBase + signalNumbers[signal]);
  }

  #onLost(error: unknown): void {
    this.#log.fatal({ err: error }, 'unexpected error, exiting');
    process.exit(exitFailed);
  }
}

function programVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  const content: unknown = JSON.parse(readTextFile(file.pathname));
  if (typeof content !== 'object' || content === null || !('version' in content)) return 'unknown';
  return String(content.version);
}
