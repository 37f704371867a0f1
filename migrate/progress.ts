import { shownBytes, shownMs } from './output.js';
import type { MoveEvent, MoveRecord } from './record.js';

const undoWords: Readonly<Record<string, string>> = {
  release: 'clearing up',
  attach: 'binding the source again',
  thaw: 'letting the source go on',
  abandon: 'ending the copy',
};

const barWidth = 24;

/**
 * Shows a move while it runs, on stderr: on a terminal the phase under way with how far it is, and a line for each that has
 * ended; for programs every event as a line of JSON.
 */
export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #isJson: boolean;
  /** The move, as soon as it has a name. */
  move: string | undefined;

  constructor(out: NodeJS.WriteStream, isJson: boolean) {
    this.#out = out;
    this.#isJson = isJson;
  }

  readonly show = (event: MoveEvent): void => {
    if (event.kind === 'begin') this.move = event.move;
    if (this.#isJson) this.#out.write(`${JSON.stringify(event)}\n`);
    else this.#tell(event);
  };

  /** A line of its own, between those of the phases. */
  say(text: string): void {
    if (!this.#isJson) this.#line(text);
  }

  #tell(event: MoveEvent): void {
    switch (event.kind) {
      case 'begin':
        this.#line(`move ${event.move}: ${event.workload} from ${event.from} to ${event.to} with ${event.mover}`);
        return;
      case 'phase':
        this.#underWay(event.phase);
        return;
      case 'progress':
        this.#underWay(`${event.phase.padEnd(10)} ${howFar(event)}`);
        return;
      case 'waiting':
        this.#underWay(`quiesce    ${event.sessions} sessions: ${event.first}`);
        return;
      case 'done':
        this.#line(`  ✓ ${event.phase.padEnd(10)} ${shownMs(event.ms)}`);
        return;
      case 'failed':
        this.#line(`  ✗ ${event.phase.padEnd(10)} ${shownMs(event.ms)}  ${event.error.code}`);
        return;
      case 'undo':
        this.#line(`  ↩ ${undoWords[event.undo] ?? event.undo}`);
    }
  }

  #underWay(text: string): void {
    if (this.#out.isTTY) this.#out.write(`\r\x1b[K  … ${text}`);
  }

  #line(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
  }
}

/** A bar where the whole is known. It may have been estimated too low: a bar is full, not overfull. */
export function howFar({ done, total, unit }: Omit<MoveEvent & { kind: 'progress' }, 'kind' | 'phase'>): string {
  const amount = (count: number) => (unit === 'bytes' ? shownBytes(count) : `${count} ${unit}`);
  if (total === undefined || total === 0) return amount(done);
  const filled = Math.min(barWidth, Math.round((done / total) * barWidth));
  const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`;
  return unit === 'bytes' ? `${bar} ${amount(done)} of about ${amount(total)}` : `${bar} ${done}/${amount(total)}`;
}

/** The end of a move in a few lines. */
export function summary(record: MoveRecord): string {
  const { from, to, blackoutMs, replayedBytes, sessions } = record;
  const lines = [
    `${record.workload} moved from ${from.node} (${from.address}) to ${to.node} (${to.address}) with ${record.mover}`,
    `  the application waited ${shownMs(blackoutMs.total)}; sent again: ${replayedBytes.up} bytes up, ${replayedBytes.down} bytes down`,
    ...sessions.map(sessionLine),
    ...record.warnings.map(({ code, message }) => `  warning: ${code}: ${message}`),
  ];
  return `${lines.join('\n')}\n`;
}

function sessionLine(session: MoveRecord['sessions'][number]): string {
  const who = `SID ${session.sid ?? '?'}, serial# ${session.serial ?? '?'}`;
  const transaction = `transaction ${session.transaction.before} before, ${session.transaction.after} after`;
  return `  session ${session.stream}: ${session.same ? 'the same' : 'NOT the same'} ${who}; ${transaction}`;
}
