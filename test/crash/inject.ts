/**
 * In a worker of the proxy, by `--import`: SIGUSR2 makes it do what a file says, as a fault in its own program would; and what it
 * puts down can be made wrong, for runs that must fail. In the keeper nothing happens: it is no child of a process that talks
 * to it.
 */
import { readFileSync } from 'node:fs';
import { entryKinds } from '../../proxy/journal/entry.js';
import { Journal } from '../../proxy/journal/journal.js';
import type { BlowKind, PlantKind } from './blows.js';

const { searchParams } = new URL(import.meta.url);
const file = searchParams.get('file') ?? '';
const plant = (searchParams.get('plant') ?? 'none') as PlantKind;
/** Every row has it, see fixtures/apps/rows.ts. Digits of a hash come behind it. */
const marker = Buffer.from('row-');
const markerDistance = 16;

/** The next bytes of the database are the last ones. */
let isWindow = false;

if (process.send !== undefined) {
  process.on('SIGUSR2', () => suffer(readFileSync(file, 'utf8') as BlowKind));
  changeJournal();
}

function suffer(kind: BlowKind): void {
  if (kind === 'throw') throw new Error('an exception that nobody catches');
  if (kind === 'spin') for (;;);
  if (kind === 'window') {
    isWindow = true;
    return;
  }
  const kept: unknown[] = [];
  for (;;) kept.push({ kept: [kept.length] });
}

function changeJournal(): void {
  const { append } = Journal.prototype;
  Journal.prototype.append = function (owner, kind, position, body) {
    if (isWindow && kind === entryKinds.fromDatabase) process.kill(process.pid, 'SIGKILL');
    if (kind !== entryKinds.fromDatabase || plant === 'none') append.call(this, owner, kind, position, body);
    else if (plant === 'spoil') append.call(this, owner, kind, position, spoilt(body));
  };
}

/** With one bit of a row changed, if there is a row in it. */
function spoilt(body: Buffer): Buffer {
  const at = body.indexOf(marker) + markerDistance;
  if (at < markerDistance || at >= body.length) return body;
  const changed = Buffer.from(body);
  changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
  return changed;
}
