import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';

/** The house rules of AGENTS.md, as far as a program can tell. */

const root = new URL('../../', import.meta.url).pathname;
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
const files = tracked.split('\n').filter((file) => file !== '');
const sources = files.filter((file) => file.endsWith('.ts'));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Who may import whom: the first matching row counts. A folder may always import itself. */
const mayImport: readonly (readonly [folder: string, allowed: readonly string[]])[] = [
  ['shim/link/', []],
  ['shim/program/', []],
  ['shim/control/', ['shim/']],
  ['shim/', ['shim/']],
  ['proxy/tns/', []],
  ['proxy/ttc/', []],
  ['proxy/track/', ['proxy/tns/', 'proxy/ttc/']],
  [
    'proxy/',
    ['proxy/', 'shim/link/index.js', 'shim/link/socket.js', 'shim/control/', 'shim/program/', 'shim/config.js'],
  ],
  ['migrate/doctor/', ['migrate/', 'shim/program/', 'proxy/tns/', 'proxy/ttc/']],
  // What comes up by itself for a rehearsal is what demo and tests have; a stranger speaks as shims do.
  [
    'migrate/rehearse/',
    [
      'migrate/',
      'shim/link/index.js',
      'shim/link/socket.js',
      'shim/program/',
      'shim/control/',
      'proxy/control/contract.js',
      'proxy/inject/contract.js',
      'fixtures/lab/',
      'fixtures/apps/rows.js',
    ],
  ],
  // A relay runs in the command that starts it.
  [
    'migrate/commands/inject',
    ['migrate/', 'shim/program/', 'proxy/inject/contract.js', 'proxy/inject/limits.js', 'proxy/relay/serve.js'],
  ],
  ['migrate/', ['shim/control/', 'shim/program/', 'proxy/control/contract.js', 'proxy/inject/contract.js']],
  ['fixtures/oracle/', ['proxy/tns/', 'proxy/ttc/', 'shim/program/']],
  ['fixtures/lab/', ['fixtures/', 'shim/program/']],
  ['fixtures/', ['fixtures/', 'shim/', 'proxy/', 'migrate/']],
  ['test/', ['']],
];

t.test('imports run one way', async (t) => {
  for (const file of sources) {
    const row = mayImport.find(([folder]) => file.startsWith(folder));
    if (row === undefined) {
      t.fail(`${file} is in no known folder`);
      continue;
    }
    const [folder, allowed] = row;
    for (const [, target = ''] of read(file).matchAll(/(?:from|import) '(\.[^']+)'/g)) {
      const imported = relative('/', join('/', dirname(file), target));
      const fine = imported.startsWith(folder) || allowed.some((each) => imported.startsWith(each));
      if (!fine) t.fail(`${file} may not import ${imported}`);
    }
  }
  t.ok(sources.length > 100, `${sources.length} files looked at`);
});

/** Machines and codecs: bytes and events in, bytes and actions out. */
const core = [
  /^shim\/link\/(?!socket\.ts)/,
  /^proxy\/(tns|ttc|track)\//,
  /^proxy\/(admission|hold|memory|ledger|quota)\.ts$/,
  /^proxy\/policy\//,
  /^proxy\/inject\/(answer|contract|engine|lane|limits|packets|watcher)\.ts$/,
  /^proxy\/workers\/(slot|hello|merge)\.ts$/,
  /^proxy\/audit\/(entry|subject)\.ts$/,
  /^proxy\/backend\/(address|target|connect-(phase|request)|listener-answer)\.ts$/,
  /^migrate\/plan\.ts$/,
  /^migrate\/judge\//,
  /^migrate\/alerts\/(payload|rules|machine)\.ts$/,
  /^migrate\/fleet\/(balance|stakes|placement|evacuation)\.ts$/,
];
const impure = [
  /from 'node:(?!crypto'|buffer'|zlib')/,
  /from '(pino|net-ipc|oracledb|pg)/,
  /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\(/,
  /\b(Date\.now|new Date|performance\.now|Math\.random|randomBytes|randomUUID)\b/,
  /\bprocess\.(?!nextTick)/,
];

t.test('core files are pure', async (t) => {
  const cores = sources.filter((file) => core.some((each) => each.test(file)));
  t.ok(cores.length > 25, `${cores.length} core files`);
  for (const file of cores) {
    const code = withoutComments(read(file));
    for (const each of impure) if (each.test(code)) t.fail(`${file} is not pure: ${each}`);
  }
});

t.test('files stay short', async (t) => {
  for (const file of sources) {
    const lines = read(file).split('\n').length;
    if (lines > 600) t.fail(`${file} has ${lines} lines`);
  }
  t.pass();
});

t.test('nothing is switched off, left for later, or waved through', async (t) => {
  const forbidden = [
    /@ts-(ignore|expect-error|nocheck)/,
    new RegExp('biome-' + 'ignore'),
    new RegExp(['TO', 'DO|FIX', 'ME|XX', 'X'].join('')),
    /\bt\.(todo|only)\b/,
    /^\s*(export )?(declare )?(const )?enum\b/m,
  ];
  for (const file of sources) {
    for (const each of forbidden) if (each.test(read(file))) t.fail(`${file}: ${each}`);
  }
  t.pass();
});

t.test('the top level is as agreed', async (t) => {
  const known =
    /^(package(-lock)?\.json|tsconfig\.json|biome\.json|README\.md|LICENSE|CHANGELOG\.md|AGENTS\.md|\.(gitignore|npmrc|taprc|editorconfig)|(proxy|shim|migrate|test|fixtures|docs|\.ci)\/.+)$/;
  t.strictSame(
    files.filter((file) => !known.test(file)),
    [],
  );
});

t.test('docs/errors.md lists every code', async (t) => {
  const documented = read('docs/errors.md');
  const codes = sources.filter(
    (file) => /(^|\/)errors\.ts$|control\/rpc\.ts$|program\/config\.ts$/.test(file) && !file.startsWith('test/'),
  );
  let count = 0;
  for (const file of codes) {
    for (const [, union = ''] of read(file).matchAll(/type \w+Code =([\s\S]*?);\n/g)) {
      for (const [, code = ''] of withoutComments(union).matchAll(/'([a-z0-9-]+)'/g)) {
        count += 1;
        if (!documented.includes(`\`${code}\``)) t.fail(`${code} (${file}) is not in docs/errors.md`);
      }
    }
  }
  t.ok(count > 40, `${count} codes`);
});

t.test('links between documents lead somewhere', async (t) => {
  for (const file of files.filter((each) => each.endsWith('.md'))) {
    for (const [, target = ''] of read(file).matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)) {
      const path = join(dirname(file), target);
      if (!files.some((each) => each === path || each.startsWith(`${path.replace(/\/$/, '')}/`)))
        t.fail(`${file}: ${target}`);
    }
  }
  t.pass();
});

t.test('the lock file names no registry', async (t) => {
  t.notMatch(read('package-lock.json'), /"resolved"/);
});

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}
