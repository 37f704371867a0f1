import { ConfigError, option } from '../../shim/program/config.js';
import { type Identity, parseIdentity } from '../../shim/program/identity.js';
import { warnDays } from '../../shim/program/keyring.js';
import { defineCommand, defineGroup } from '../../shim/program/run.js';
import { choice, count, flag, path } from '../../shim/program/values.js';
import type { KeyDirectory, KeyFile, RotationStep } from '../keys/directory.js';
import { certificateDays, certificateDaysMax } from '../keys/limits.js';
import { type Column, printJson, printTable } from '../output.js';

const options = {
  'keys-dir': option(path('DIR'), '/etc/holdfast/keys', 'directory of the authority and of what it has signed'),
  json: option(flag(), 'false', 'print the result as JSON'),
} as const;

const days = option(count(1, certificateDaysMax), String(certificateDays), 'days that new certificates are good');
const steps = choice('trust', 'issue', 'retire');

/** The library behind it takes a quarter of a second to load, which no other command should pay. */
async function open(directory: string): Promise<KeyDirectory> {
  const { KeyDirectory } = await import('../keys/directory.js');
  return new KeyDirectory(directory);
}

const init = defineCommand({
  name: 'init',
  summary: 'Makes a private authority: the one file that all parts trust, and the key that signs.',
  options,
  examples: [['holdfast keys init', 'In /etc/holdfast/keys, on a host of the operators']],
  async main({ settings }) {
    const files = await (await open(settings.keysDir)).init();
    const next = 'holdfast keys issue proxy agent operator workload:NAME';
    report(settings.json, files, `keep ca.key off all other hosts; next: ${next}`);
    return 0;
  },
});

const issue = defineCommand({
  name: 'issue',
  summary: 'Makes keys and certificates of parts: proxy, agent, operator, workload:NAME.',
  positional: '<who...>',
  options: {
    ...options,
    days,
    replace: option(flag(), 'false', 'make a new one also where there is one'),
  },
  examples: [
    ['holdfast keys issue proxy agent operator workload:orders', 'One certificate for all agents'],
    ['holdfast keys issue agent:node-a operator:alice', 'One that is good for node-a only; one that names a person'],
    ['holdfast keys issue --replace proxy', 'Renew one that runs out; the proxy takes it up by itself'],
  ],
  async main({ settings, args }) {
    const identities = args.map(identityArgument);
    const files = await (await open(settings.keysDir)).issue(identities, settings.days, settings.replace);
    report(settings.json, files, 'copy each to the host of its part, as --tls-cert, with ca.pem as --tls-ca');
    return 0;
  },
});

const rotate = defineCommand({
  name: 'rotate',
  summary: 'Changes the authority in three steps, between which files go to all hosts; nothing has to stop.',
  positional: '<step>',
  options: { ...options, days },
  examples: [
    ['holdfast keys rotate trust', 'Make a new authority; then copy ca.pem to all hosts'],
    ['holdfast keys rotate issue', 'Make new certificates for all; then copy them to their hosts'],
    ['holdfast keys rotate retire', 'Trust the former authority no more; then copy ca.pem again'],
  ],
  async main({ settings, args }) {
    const { stepGuide } = await import('../keys/directory.js');
    const step = stepArgument(args[0]);
    const files = await (await open(settings.keysDir)).rotate(step, settings.days);
    report(settings.json, files, stepGuide[step]);
    return 0;
  },
});

const show = defineCommand({
  name: 'show',
  summary: 'Lists the certificates of the directory, who they are of and when they end.',
  options,
  examples: [['holdfast keys show', 'What there is, and what ends soon']],
  async main({ settings }) {
    const directory = await open(settings.keysDir);
    const [certificates, nextStep] = [directory.list(), directory.nextStep()];
    if (settings.json) printJson({ certificates, nextStep });
    else printTable(columns, certificates, 'no certificates');
    for (const { who, daysLeft } of certificates.filter(({ daysLeft }) => daysLeft < warnDays)) {
      const when = daysLeft < 0 ? 'has ended' : `ends in ${daysLeft} days`;
      process.stderr.write(`the certificate of ${who} ${when}\n`);
    }
    return 0;
  },
});

const signers = { present: 'the authority', other: 'another authority', itself: 'itself' } as const;

const columns: readonly Column<KeyFile>[] = [
  { head: 'who', cell: ({ who }) => who },
  { head: 'file', cell: ({ file }) => file },
  { head: 'expires', cell: ({ expires }) => expires.slice(0, 10) },
  { head: 'days left', cell: ({ daysLeft }) => daysLeft, align: 'right' },
  { head: 'signed by', cell: ({ signedBy }) => signers[signedBy] },
];

function identityArgument(word: string): Identity {
  const identity = parseIdentity(word);
  if (identity !== undefined) return identity;
  const allowed = 'proxy, agent, agent:NODE, operator, operator:PERSON or workload:NAME';
  throw new ConfigError('bad-option', `"${word}" is not allowed, expected ${allowed}`);
}

function stepArgument(word: string | undefined): RotationStep {
  const step = steps.schema.safeParse(word);
  if (step.success) return step.data;
  throw new ConfigError('bad-option', `"${word}" is no step, expected trust, issue or retire`);
}

function report(isJson: boolean, files: readonly string[], advice: string): void {
  if (isJson) printJson({ files });
  else process.stdout.write(`${files.map((file) => `wrote ${file}`).join('\n')}\n${advice}\n`);
}

const guide = `
Certificates of a private authority, in five commands:
  holdfast keys init
  holdfast keys issue proxy agent operator workload:orders
  scp /etc/holdfast/keys/{ca,proxy}.pem db-gate:/etc/holdfast/keys/
  scp /etc/holdfast/keys/{ca,agent,workload-orders}.pem node-a:/etc/holdfast/keys/
  holdfast-proxy --tls-cert /etc/holdfast/keys/proxy.pem --tls-ca /etc/holdfast/keys/ca.pem ...

Who may do what, and how to change keys while all goes on: docs/security.md.
`;

export const keys = defineGroup(
  'Makes and changes the keys and certificates that parts prove themselves with.',
  { init, issue, rotate, show },
  guide,
);
