import { shownMs } from './output.js';
import type { MoveEvent, MoveRecord } from './record.js';

const undoWords: Readonly<Record<string, string>> = {
  release: 'clearing up',
  attach: 'binding the source again',
  thaw: 'letting the source go on',
  abandon: 'killing the copy',
};

/** Shows a move while it runs, on stderr: the phase under way on a terminal, and a line for each that has ended. */
export class Progress {
  readonly #out: NodeJS.WriteStream;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  readonly show = (event: MoveEvent): void => {
    switch (event.kind) {
      case 'phase':
        if (this.#out.isTTY) this.#out.write(`  … ${event.phase}`);
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
  };

  #line(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
  }
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
