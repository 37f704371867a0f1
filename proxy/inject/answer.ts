/** What is said in the place of a listener or the database. */
import { DataFlag, encodeData, encodeNotification, encodeRedirect } from '../tns/index.js';
import type { TrackerState } from '../track/session.js';
import { ByteWriter, fieldVersions, MessageType } from '../ttc/index.js';

const texts: Readonly<Record<number, string>> = {
  28: 'your session has been killed',
  1012: 'not logged on',
  1033: 'ORACLE initialization or shutdown in progress',
  1089: 'immediate shutdown or close in progress - no operations are permitted',
  2396: 'exceeded maximum idle time, please connect again',
  3113: 'end-of-file on communication channel',
  3114: 'not connected to ORACLE',
  3135: 'connection lost contact',
  12537: 'connection closed',
};

/** The answer to a call: an ERROR message as the sides have agreed to write it (see readError in ttc/status.ts). */
export function errorAnswer(ora: number, sequence: number, { accept, identity }: TrackerState): Buffer {
  const { fieldVersion, endOfResponse } = identity.capabilities;
  const writer = new ByteWriter();
  writer.u8(MessageType.error).ub4(0).ub2(0).ub4(0); // call status, end-to-end number, rows
  writer.ub2(ora).ub2(0).ub2(0).ub2(0).ub2(0); // number in 16 bits, array errors, cursor, position
  writer.bytes(Buffer.alloc(6)); // SQL type, fatal, flags, cursor options, UPI parameter, warning
  writer.ub4(0).ub2(0).u8(0).ub4(0).ub2(0); // rowid
  writer.ub4(0).u8(0).u8(sequence).ub2(0).ub4(0).ub4(0); // OS error, statement, call number, padding, iterations, rowid
  writer.ub2(0).ub4(0).ub2(0); // errors of a batch
  writer.ub4(ora).ub8(0);
  if (fieldVersion >= fieldVersions.v20_1) writer.ub4(0).ub4(0); // SQL type, checksum
  writer.text(`ORA-${String(ora).padStart(5, '0')}: ${texts[ora] ?? 'injected fault'}\n`);
  const isMarked = endOfResponse && accept?.endOfResponse === true;
  if (isMarked) writer.u8(MessageType.endOfResponse);
  return encodeData(writer.take(), isMarked ? DataFlag.endOfResponse : 0, accept?.lengthForm ?? 'u16');
}

export function redirectAnswer(host: string, port: number): Buffer {
  const address = `(ADDRESS=(PROTOCOL=TCP)(HOST=${host})(PORT=${port}))`;
  return Buffer.concat(encodeRedirect({ address, connectData: undefined }, { overflow: false }));
}

/** Facility 20 is Oracle Net. */
export function notification(ora: number, { accept }: TrackerState): Buffer {
  return encodeNotification({ facility: 20, error: ora, detail: 0 }, accept?.lengthForm ?? 'u16');
}
