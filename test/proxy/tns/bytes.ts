/** A second, naive way to build packets, so that a mistake in the codec is not also in its tests. */
export function hex(...parts: readonly string[]): Buffer {
  return Buffer.from(parts.join('').replace(/\s/g, ''), 'hex');
}

/** n as big-endian bytes in hex */
export function be(n: number, bytes: number): string {
  return n.toString(16).padStart(bytes * 2, '0');
}

export function ascii(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}

/** A packet with 32-bit (or 16-bit) length around a body given in hex. */
export function packet(type: number, bodyHex: string, options: { u16?: boolean; flags?: number } = {}): Buffer {
  const length = 8 + bodyHex.replace(/\s/g, '').length / 2;
  const head = options.u16 === true ? `${be(length, 2)}0000` : be(length, 4);
  return hex(head, be(type, 1), be(options.flags ?? 0, 1), '0000', bodyHex);
}
