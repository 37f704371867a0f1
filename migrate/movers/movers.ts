import type { CarrierName, MoverName } from '../record.js';
import type { StoredWorkload } from '../workload/store.js';
import { criu } from './criu.js';
import type { Carrier, Mover } from './mover.js';
import { relink } from './relink.js';

const carriers = { criu } satisfies Record<CarrierName, Mover>;
const movers: Readonly<Record<MoverName, Mover>> = { ...carriers, relink };

export function carrierOf({ mover }: Pick<StoredWorkload, 'mover'>): Carrier {
  return carriers[mover].carrier;
}

export function moverOf(name: MoverName): Mover {
  return movers[name];
}
