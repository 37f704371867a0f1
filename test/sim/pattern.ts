/**
 * What every byte of every stream must be, so that nothing need be remembered: a byte of speaker `id` at `position`. Speakers are
 * drivers (of one copy of an application each) and database sessions; a byte that is lost, repeated or somebody else's shows.
 */
export function byteAt(id: number, position: number): number {
  return Math.imul(Math.imul(position + 1, 0x9e3779b1) ^ Math.imul(id + 1, 0x85ebca6b), 0xc2b2ae35) >>> 24;
}

export function fill(id: number, from: number, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  for (let i = 0; i < count; i += 1) bytes[i] = byteAt(id, from + i);
  return bytes;
}

/** Who spoke from which position on: a copy of an application speaks with another voice from where it was copied. */
export class Speech {
  readonly #turns: { readonly from: number; readonly id: number }[] = [];
  said = 0;

  say(id: number, count: number): Buffer {
    const last = this.#turns.at(-1);
    if (last?.id !== id) this.#turns.push({ from: this.said, id });
    const bytes = fill(id, this.said, count);
    this.said += count;
    return bytes;
  }

  /** @returns the first position at which `bytes`, heard at `from`, are not what was said; undefined if they all are */
  differs(from: number, bytes: Buffer): number | undefined {
    if (from + bytes.length > this.said) return this.said;
    let turn = this.#turns.findLastIndex((each) => each.from <= from);
    for (let i = 0; i < bytes.length; i += 1) {
      if (this.#turns[turn + 1]?.from === from + i) turn += 1;
      if (bytes[i] !== byteAt(this.#turns[turn]?.id ?? 0, from + i)) return from + i;
    }
    return undefined;
  }

  /** How much of what the other has said is the same, from the beginning. */
  commonWith(other: Speech): number {
    const end = Math.min(this.said, other.said);
    for (const [i, turn] of this.#turns.entries()) {
      if (other.#turns[i]?.from !== turn.from || other.#turns[i]?.id !== turn.id) {
        return Math.min(end, turn.from, other.#turns[i]?.from ?? end);
      }
    }
    return Math.min(end, other.#turns[this.#turns.length]?.from ?? end);
  }
}
