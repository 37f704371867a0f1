import { TnsError, type TnsSource } from './errors.js';
import { type LengthForm, PacketType } from './header.js';
import { encodePacket } from './writer.js';

/** In-band notification; not part of any response. `error` is 12572 for a listener shutting down, 2396 for idle time. */
export type Control =
  | { readonly kind: 'notification'; readonly facility: number; readonly error: number; readonly detail: number }
  | { readonly kind: 'clear-out-of-band' }
  | { readonly kind: 'unknown'; readonly command: number };

const commandNotification = 8;
const commandClearOutOfBand = 9;
const notificationBytes = 22;

/** @throws TnsError field-invalid */
export function parseControl(packet: Buffer, source: TnsSource): Control {
  if (packet.length < 10) {
    throw new TnsError('field-invalid', source, `CONTROL packet of ${packet.length} bytes has no command`);
  }
  const command = packet.readUInt16BE(8);
  if (command === commandClearOutOfBand) {
    return { kind: 'clear-out-of-band' };
  }
  if (command !== commandNotification) {
    return { kind: 'unknown', command };
  }
  if (packet.length < notificationBytes) {
    throw new TnsError('field-invalid', source, `CONTROL notification of ${packet.length} bytes lacks its numbers`);
  }
  return {
    kind: 'notification',
    facility: packet.readUInt32BE(10),
    error: packet.readUInt32BE(14),
    detail: packet.readUInt32BE(18),
  };
}

export function encodeNotification(
  numbers: { readonly facility: number; readonly error: number; readonly detail: number },
  form: LengthForm,
): Buffer {
  const body = Buffer.alloc(notificationBytes - 8);
  body.writeUInt16BE(commandNotification, 0);
  body.writeUInt32BE(numbers.facility, 2);
  body.writeUInt32BE(numbers.error, 6);
  body.writeUInt32BE(numbers.detail, 10);
  return encodePacket(PacketType.control, 0, body, form);
}
