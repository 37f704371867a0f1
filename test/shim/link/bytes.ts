/** Bytes that are different at every place near by, and other ones for every seed. */
export function pattern(seed: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (seed + at * 7 + (at >> 8)) & 0xff));
}
