import type { CarrierName, MoverName } from '../record.js';
import type { StoredWorkload } from '../workload/store.js';
import { criu } from './criu.js';
import type { Carrier, Mover, ToolState, Tools } from './mover.js';
import { podman } from './podman.js';
import { relink } from './relink.js';
import { runc } from './runc.js';

const carriers = { criu, runc, podman } satisfies Record<CarrierName, Mover>;
const movers: Readonly<Record<MoverName, Mover>> = { ...carriers, relink };

/** What each of them says of itself at this node. */
export async function checkCarriers(tools: Tools): Promise<Record<CarrierName, ToolState>> {
  const [ofCriu, ofRunc, ofPodman] = await Promise.all([
    criu.carrier.check(tools),
    runc.carrier.check(tools),
    podman.carrier.check(tools),
  ]);
  return { criu: ofCriu, runc: ofRunc, podman: ofPodman };
}

export function carrierOf({ mover }: Pick<StoredWorkload, 'mover'>): Carrier {
  return carriers[mover].carrier;
}

export function moverOf(name: MoverName): Mover {
  return movers[name];
}
