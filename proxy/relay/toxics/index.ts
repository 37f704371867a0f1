import type { Toxic } from '../../inject/contract.js';
import type { Stage, StageContext } from '../stage.js';
import { Bandwidth } from './bandwidth.js';
import { HalfOpen } from './half-open.js';
import { Latency } from './latency.js';
import { LimitData } from './limit-data.js';
import { ResetPeer } from './reset-peer.js';
import { Slicer } from './slicer.js';
import { SlowClose } from './slow-close.js';
import { Stall } from './stall.js';
import { Timeout } from './timeout.js';

/** What a toxic does to one direction of a connection; nothing for those that are about the listener. */
export function stageOf(toxic: Toxic, context: StageContext): Stage | undefined {
  switch (toxic.type) {
    case 'latency':
      return new Latency(toxic.attributes, context);
    case 'bandwidth':
      return new Bandwidth(toxic.attributes, context);
    case 'slow_close':
      return new SlowClose(toxic.attributes, context);
    case 'timeout':
      return new Timeout(toxic.attributes, context);
    case 'reset_peer':
      return new ResetPeer(toxic.attributes, context);
    case 'slicer':
      return new Slicer(toxic.attributes, context);
    case 'limit_data':
      return new LimitData(toxic.attributes, context);
    case 'stall':
      return new Stall(context);
    case 'half_open':
      return new HalfOpen(context);
    case 'down':
    case 'flap':
      return undefined;
  }
}
