import { Command, CommanderError } from 'commander';
import { ConfigError, type OptionSet, optional, resolveSettings, type Settings } from './config.js';
import { CodedError, errorCode, errorText } from './errors.js';
import { addOptions, commonHeading, type Examples, helpAfter } from './help.js';
import { type Logger, logOptions, makeLogger } from './log.js';
import { path } from './values.js';
import { programVersion } from './version.js';

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
  /** From now on SIGINT (Ctrl-C) calls this in place of ending the program. */
  onInterrupt(interrupted: () => void): void;
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
  /** The positional arguments are a command line: from its first word on, options are that command's. */
  readonly runsCommand?: boolean;
  /** A second word for the same command. */
  readonly alias?: string;
  readonly options: Options;
  readonly examples: Examples;
  /**
   * The exit code, 0 when it gives none. An error ends in one line on stderr; with an option `json` that is set, also in
   * an object `{ "error": { "code", "message" } }` on stdout.
   */
  main(run: Run<Options>): Promise<number | undefined>;
}

/** A command with the type of its options hidden, for lists of commands. */
export interface DefinedCommand {
  register(program: Command, programName: string): void;
}

export function defineCommand<Options extends OptionSet>(spec: CommandSpec<Options>): DefinedCommand {
  return {
    register(program, programName) {
      addOptions(program, spec.options, commonOptions);
      addStandardOptions(program, commonHeading);
      if (spec.alias !== undefined) program.alias(spec.alias);
      for (const word of spec.positional?.split(' ') ?? []) program.argument(word);
      program.passThroughOptions(spec.runsCommand ?? false);
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
  const program = prepared(new Command(spec.name), spec.name);
  defineCommand(spec).register(program, spec.name);
  await parse(program);
}

/**
 * Runs a program with sub-commands.
 * @param guide what somebody who sees it for the first time must know; the end of `--help`
 */
export async function runPrograms(
  name: string,
  summary: string,
  commands: Readonly<Record<string, DefinedCommand>>,
  guide = '',
): Promise<void> {
  const program = prepared(new Command(name), name);
  defineGroup(summary, commands, guide).register(program, name);
  await parse(program);
}

/** Several commands under one word: `holdfast keys init`, `holdfast keys show`. */
export function defineGroup(
  summary: string,
  commands: Readonly<Record<string, DefinedCommand>>,
  guide = '',
): DefinedCommand {
  return {
    register(program, name) {
      program.summary(summary).description(summary).enablePositionalOptions();
      addStandardOptions(program, 'Options:');
      program.configureHelp({ subcommandTerm: (command) => [command.name(), ...command.aliases()].join(', ') });
      for (const [word, command] of Object.entries(commands)) {
        const fullName = `${name} ${word}`;
        command.register(prepared(program.command(word), fullName), fullName);
      }
      program.helpCommand('help [command]', 'Prints the help of a command.').addHelpText('after', guide);
    },
  };
}

function prepared(command: Command, name: string): Command {
  return command
    .exitOverride((error) => {
      throw error.exitCode === 0 || error.code === 'commander.help' ? error : new UseError(name, error);
    })
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: () => undefined });
}

function addStandardOptions(command: Command, heading: string): void {
  command
    .optionsGroup(heading)
    .version(programVersion(), '--version', 'print the version')
    .helpOption('--help', 'print this help');
}

/** Words on the command line that are not understood. */
class UseError extends Error {
  constructor(commandName: string, { message }: CommanderError) {
    const fault = message.replace(/^error: /, '').replaceAll('\n', ' ');
    super(`${commandName}: ${fault}; see ${commandName} --help`);
  }
}

async function parse(program: Command): Promise<void> {
  dropWhatNobodyReads();
  try {
    await program.parseAsync();
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      // Help or version was printed. Help that nobody asked for is an answer to a line with no command.
      if (thrown.exitCode !== 0) process.exitCode = exitBadUse;
      return;
    }
    if (!(thrown instanceof UseError)) throw thrown;
    process.stderr.write(`${thrown.message}\n`);
    process.exitCode = exitBadUse;
  }
}

/** A reader that has seen enough (`| head`) is no fault: a command ends as it would have, and a service serves on. */
function dropWhatNobodyReads(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (errorCode(error) !== 'EPIPE') throw error;
    });
  }
}

function flagsByName(program: Command, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(program.options.map((each) => [each.name(), values[each.attributeName()]]));
}

/** Settings, main, stop functions. Ends the process. */
async function perform<Options extends OptionSet>(
  programName: string,
  spec: CommandSpec<Options>,
  flags: Record<string, unknown>,
  args: readonly string[],
): Promise<void> {
  const stops: { what: string; stop: () => unknown }[] = [];
  let life: Life | undefined;
  let isJson = flags.json === true;
  try {
    const settings = settingsOf(spec.options, flags);
    isJson ||= 'json' in settings && settings.json === true;
    const log = makeLogger(programName.replaceAll(' ', '-'), settings);
    life = new Life(log, stops);
    const { serve, onInterrupt } = life;
    const exitCode = await spec.main({
      settings,
      args,
      log,
      onStop: (what, stop) => stops.push({ what, stop }),
      serve,
      onInterrupt,
    });
    await life.end(exitCode ?? 0);
  } catch (thrown) {
    reportError(programName, thrown, isJson);
    const exitCode = thrown instanceof ConfigError ? exitBadUse : exitFailed;
    if (life === undefined) process.exitCode = exitCode;
    else await life.end(exitCode);
  }
}

/** Bad options have no code in their line: it names the option, which says more. */
function reportError(programName: string, thrown: unknown, isJson: boolean): void {
  const message = errorText(thrown).trim();
  const code = thrown instanceof CodedError ? thrown.code : 'internal';
  if (isJson) process.stdout.write(`${JSON.stringify({ error: { code, message } }, undefined, 2)}\n`);
  const hasCode = thrown instanceof CodedError && !(thrown instanceof ConfigError);
  process.stderr.write(`${programName}: ${hasCode ? `${code}: ` : ''}${message.replaceAll('\n', ' ')}\n`);
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
  #interrupted: (() => void) | undefined;

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
      // Many send it to make a service read its files again, and Node.js would end the process, with all its sessions.
      process.on('SIGHUP', () =>
        this.#log.info({ signal: 'SIGHUP' }, 'goes on; certificates are read before every connection'),
      );
    });

  readonly onInterrupt = (interrupted: () => void): void => {
    this.#interrupted = interrupted;
  };

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
    // A service does not wait for somebody who has ceased to read its log; a command waits as any other does.
    if (this.#askStop === undefined) await Promise.all([process.stdout, process.stderr].map(written));
    process.exit(exitCode);
  }

  #onSignal(signal: 'SIGINT' | 'SIGTERM'): void {
    if (signal === 'SIGINT' && this.#interrupted !== undefined) {
      this.#interrupted();
      return;
    }
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

/** What is printed to a socket or a pipe is on its way only, and the end of the process would cut it off. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) resolve();
    else stream.write('', () => resolve());
  });
}
