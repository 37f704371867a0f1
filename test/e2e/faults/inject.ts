/**
 * Breaks the link, in a shim or a proxy that is started with `node --import` of this file: after a bind one byte that goes
 * into the store (or, `onArrival`, comes out of a frame) is dropped, repeated or put after its neighbour. All positions look right, at both ends; only the content
 * tells. The byte is one in the middle of a row, so that every frame, packet and message around it may look right too.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Link } from '../../../shim/link/link.js';
import type { Fault } from './switch.js';

const program = process.argv[1] ?? '';
const directory = process.env.LINK_FAULTS ?? '';
/** Every row has it, see fixtures/apps/rows.ts. Digits of a hash come behind it. */
const marker = Buffer.from('row-');
const markerDistance = 16;

/** Bytes that this process sends go this way. */
const direction = program.endsWith('/proxy/worker.js') ? 'down' : 'up';
/** Of the link that is about to be resumed. A shim has only one. */
let workload = process.env.LINK_FAULTS_WORKLOAD ?? '';
const armed = new WeakMap<Link, { readonly workload: string; readonly fault: Fault }>();

/** One byte is enough: none when one has been struck. */
function faultFor(name: string): Fault | undefined {
  if (existsSync(join(directory, `${name}.struck`))) return undefined;
  try {
    const fault: Fault = JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8'));
    return (fault.direction === direction) === (fault.onArrival === undefined) ? fault : undefined;
  } catch {
    return undefined;
  }
}

/** @returns undefined when there is no row in the bytes */
function strike(bytes: Buffer, { kind }: Fault): Buffer | undefined {
  const found = bytes.indexOf(marker);
  if (found < 0) return undefined;
  let at = found + markerDistance;
  while (at + 1 < bytes.length && bytes[at] === bytes[at + 1]) at += 1;
  if (at + 1 >= bytes.length) return undefined;
  const [before, one, other, after] = [
    bytes.subarray(0, at),
    bytes.subarray(at, at + 1),
    bytes.subarray(at + 1, at + 2),
    bytes.subarray(at + 2),
  ];
  switch (kind) {
    case 'none':
      return bytes;
    case 'drop':
      return Buffer.concat([before, other, after]);
    case 'repeat':
      return Buffer.concat([before, one, one, other, after]);
    case 'swap':
      return Buffer.concat([before, other, one, after]);
  }
}

async function install(): Promise<void> {
  if (direction === 'down') {
    const { Workload } = await import('../../../proxy/workload.js');
    const { bind } = Workload.prototype;
    Workload.prototype.bind = function (resume, ...rest) {
      workload = resume.workload;
      return bind.call(this, resume, ...rest);
    };
  }
  const { resume, send, dataFrame } = Link.prototype;
  const spoilt = (link: Link, bytes: Buffer, onArrival: boolean): Buffer => {
    const order = armed.get(link);
    if (order === undefined || (order.fault.onArrival ?? false) !== onArrival) return bytes;
    const changed = strike(bytes, order.fault);
    if (changed === undefined) return bytes;
    armed.delete(link);
    writeFileSync(join(directory, `${order.workload}.struck`), '');
    return changed;
  };
  Link.prototype.resume = function (...args) {
    const fault = faultFor(workload);
    if (fault !== undefined) armed.set(this, { workload, fault });
    return resume.apply(this, args);
  };
  Link.prototype.send = function (id, bytes) {
    return send.call(this, id, spoilt(this, bytes, false));
  };
  Link.prototype.dataFrame = function (id, position, bytes) {
    dataFrame.call(this, id, position, spoilt(this, bytes, true));
  };
}

if (/\/(shim\/main|proxy\/worker)\.js$/.test(program)) await install();
