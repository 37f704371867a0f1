import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { CommandLine } from '../../fixtures/lab/program.js';
import { client, installed } from './install.js';
import { versions } from './versions.js';

/** What is done with every driver: `cut` and `move` are one program, and what happens around it differs. */
const plain = ['connect', 'transactions', 'query', 'array', 'errors', 'cut', 'move'] as const;
const everywhere = [...plain, 'pool'] as const;
export type ProgramName =
  | (typeof everywhere)[number]
  | 'orm'
  | 'objects'
  | 'xa'
  | 'move-criu'
  | 'hikari'
  | 'hikari-move'
  | 'ucp'
  | 'ucp-move';

/** The command that runs a program of a driver; the program's own arguments come behind. */
export type Command = (program: ProgramName) => CommandLine;

export interface Driver {
  readonly name: string;
  readonly version: string;
  readonly programs: readonly ProgramName[];
  /** What V$SESSION or the proxy may show as the driver's name. */
  readonly calledBy: RegExp;
  /** Installs what is missing. Rejects when it cannot be had. */
  prepare(): Promise<Command>;
}

const root = new URL('../../../', import.meta.url).pathname;
const nodeProgram = new URL('../../fixtures/apps/node/interop.js', import.meta.url).pathname;
const pythonPrograms = join(root, 'fixtures/apps/python');

function manifestVersion(file: string): string {
  const { version }: { version: string } = JSON.parse(readFileSync(file, 'utf8'));
  return version;
}

function nodeCommand(module: string): Command {
  return (program) => ({ file: 'env', args: [`INTEROP_DRIVER=${module}`, process.execPath, nodeProgram, program] });
}

const node26: Driver = {
  name: 'node-oracledb-26',
  version: manifestVersion(createRequire(import.meta.url).resolve('oracledb/package.json')),
  programs: everywhere,
  calledBy: /node-oracledb/,
  prepare: async () => nodeCommand('oracledb'),
};

const node6: Driver = {
  name: 'node-oracledb-6',
  version: versions.oracledb6,
  programs: everywhere,
  calledBy: /node-oracledb/,
  async prepare() {
    const wanted = `oracledb@${versions.oracledb6}`;
    const directory = await installed('node-oracledb', wanted, async (prefix) => {
      writeFileSync(join(prefix, 'package.json'), '{"private":true}');
      await client('npm', 'install', '--prefix', prefix, '--no-audit', '--no-fund', '--ignore-scripts', wanted);
    });
    return nodeCommand(join(directory, 'node_modules/oracledb/index.js'));
  },
};

/** A Python with python-oracledb and SQLAlchemy, installed when it is missing. */
export async function pythonInterpreter(): Promise<string> {
  const { pythonOracledb, cryptography, sqlAlchemy } = versions;
  const wanted = [`oracledb==${pythonOracledb}`, `cryptography==${cryptography}`, `sqlalchemy==${sqlAlchemy}`];
  const directory = await installed('python', wanted, async (venv) => {
    await client('python3', '-m', 'venv', venv);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...wanted];
    await client(join(venv, 'bin/python'), ...pip);
  });
  return join(directory, 'bin/python');
}

async function pythonCommand(file: string): Promise<Command> {
  const interpreter = await pythonInterpreter();
  return (program) => ({ file: interpreter, args: [join(pythonPrograms, file), program] });
}

const python: Driver = {
  name: 'python-oracledb',
  version: versions.pythonOracledb,
  programs: everywhere,
  calledBy: /python-oracledb/,
  prepare: () => pythonCommand('interop.py'),
};

const sqlAlchemy: Driver = {
  name: 'sqlalchemy',
  version: versions.sqlAlchemy,
  programs: ['orm'],
  calledBy: /python-oracledb/,
  prepare: () => pythonCommand('orm.py'),
};

/** An artifact of the group com.oracle.database.jdbc, or of another one. */
type Artifact = readonly [name: string, version: string, group?: string];

const javaPrograms = ['Interop', 'Orders'].map((name) => join(root, 'fixtures/apps/java', `${name}.java`));
/** Small and quick to start and to move (docs/operations.md). */
const jvmOptions = ['-XX:+UseSerialGC', '-XX:-UsePerfData', '-XX:TieredStopAtLevel=1', '-Xmx96m'];

/** Java with these on its class path, and the programs of fixtures/apps/java; installed and compiled when it is missing. */
async function java(name: string, artifacts: readonly Artifact[]): Promise<CommandLine> {
  const wanted = [artifacts, ...javaPrograms.map((file) => readFileSync(file, 'utf8'))];
  const directory = await installed(name, wanted, async (home) => {
    const pom = join(home, 'pom.xml');
    writeFileSync(pom, pomOf(artifacts));
    const maven = ['--batch-mode', '--quiet', '--file', pom, 'dependency:copy-dependencies'];
    await client('mvn', ...maven, '-DoutputDirectory=jars');
    await client('javac', '-cp', join(home, 'jars/*'), '-d', join(home, 'classes'), ...javaPrograms);
  });
  const classPath = `${join(directory, 'jars/*')}:${join(directory, 'classes')}`;
  return { file: 'java', args: [...jvmOptions, '-cp', classPath] };
}

function jdbc(name: string, version: string, artifacts: readonly Artifact[]): Driver {
  return {
    name,
    version,
    programs: [...plain, 'objects', 'xa', 'hikari', 'hikari-move', 'ucp', 'ucp-move', 'move-criu'],
    calledBy: /jdbcthin/,
    async prepare() {
      const { file, args } = await java(name, artifacts);
      return (program) => ({ file, args: [...args, 'Interop', program] });
    },
  };
}

function pomOf(artifacts: readonly Artifact[]): string {
  const dependencies = artifacts.map(
    ([artifact, version, group = 'com.oracle.database.jdbc']) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  const own = '<groupId>holdfast</groupId><artifactId>interop</artifactId><version>1</version>';
  return `<project><modelVersion>4.0.0</modelVersion>${own}<dependencies>${dependencies.join('')}</dependencies></project>`;
}

const hikariCp: Artifact = ['HikariCP', versions.hikariCp, 'com.zaxxer'];
const newest: readonly Artifact[] = [['ojdbc11', versions.ojdbc11], ['ucp11', versions.ucp11], hikariCp];
const ojdbc11 = jdbc('ojdbc11', versions.ojdbc11, newest);
/** As for `ojdbc11`; the name of a class and its arguments come behind. */
export const javaRuntime = (): Promise<CommandLine> => java('ojdbc11', newest);
const ojdbc8 = jdbc('ojdbc8', versions.ojdbc8, [['ojdbc8', versions.ojdbc8], ['ucp', versions.ucp8], hikariCp]);

export const drivers: readonly Driver[] = [ojdbc11, ojdbc8, node26, node6, python, sqlAlchemy];
