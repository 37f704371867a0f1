import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What CRIU would do wrong with the image of a TCP connection whose sender had bytes that its peer had no room for. Facts are
 * from CRIU: images/tcp-stream.proto, soccr/soccr.c, and images it wrote.
 *
 * A file tcp-stream-N.img is two magic numbers, the length of a protobuf message, the message, and the bytes of both queues.
 */
const magicBytes = 8;
const unsentLengthField = 12;
const wireTypes = { varint: 0, bytes: 2 } as const;

/**
 * Makes all bytes in send queues count as sent and not yet acknowledged. CRIU puts such bytes back into the queue; those that
 * had not been sent it sends, in the middle of the restore: when the other end of the loopback connection has not been made by
 * then, the answer is a reset, and the restore fails. Bytes that nobody has acknowledged the kernel sends by itself later.
 */
export function markQueuesSent(imageDirectory: string): void {
  for (const name of readdirSync(imageDirectory).filter((each) => /^tcp-stream-.*\.img$/.test(each))) {
    const file = join(imageDirectory, name);
    const image = readFileSync(file);
    if (clearUnsentLength(image)) writeFileSync(file, image);
  }
}

/** Changes the image in place. @returns whether there was anything to change */
export function clearUnsentLength(image: Buffer): boolean {
  const begin = magicBytes + 4;
  const end = begin + image.readUInt32LE(magicBytes);
  let at = begin;
  while (at < end) {
    const key = varint(image, at);
    at = key.end;
    if ((key.value & 7) === wireTypes.bytes) {
      const length = varint(image, at);
      at = length.end + length.value;
      continue;
    }
    // Nothing that CRIU has written so far.
    if ((key.value & 7) !== wireTypes.varint) return false;
    const field = varint(image, at);
    if (key.value >> 3 === unsentLengthField && field.value > 0) {
      // As many bytes as before: a zero may be written in more than it needs.
      image.fill(0x80, at, field.end - 1);
      image[field.end - 1] = 0;
      return true;
    }
    at = field.end;
  }
  return false;
}

function varint(image: Buffer, start: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let at = start, unit = 1; ; at += 1, unit *= 128) {
    const byte = image.readUInt8(at);
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return { value, end: at + 1 };
  }
}
