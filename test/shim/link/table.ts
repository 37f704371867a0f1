import type { InitiatorState } from '../../../shim/link/initiator.js';

/**
 * The tables of SPEC.md, states by events, total. A cell is the next state and what is done, or `-` where nothing changes.
 * initiator.test.ts and test/proxy/table.test.ts walk them; spec.test.ts compares them with the text.
 */

export const shimEvents = [
  'attach',
  'detach',
  'connected',
  'RESUME_OK',
  'REJECTED',
  'try-later',
  'cut',
  'early',
  'deadline',
] as const;
export type ShimEvent = (typeof shimEvents)[number];

const nothing: Record<ShimEvent, string> = {
  attach: '-',
  detach: '-',
  connected: '-',
  RESUME_OK: '-',
  REJECTED: '-',
  'try-later': '-',
  cut: '-',
  early: '-',
  deadline: '-',
};

export const shimTable: Record<InitiatorState['kind'], Record<ShimEvent, string>> = {
  detached: { ...nothing, attach: 'connecting: dial' },
  waiting: { ...nothing, detach: 'detached', deadline: 'connecting: dial' },
  connecting: {
    ...nothing,
    detach: 'detached: hang-up',
    connected: 'resuming: send-resume',
    cut: 'waiting: failed',
    deadline: 'waiting: hang-up, failed',
  },
  resuming: {
    ...nothing,
    detach: 'detached: hang-up',
    RESUME_OK: 'bound: bind',
    REJECTED: 'refused: hang-up, refuse',
    'try-later': 'waiting: hang-up, failed',
    cut: 'waiting: failed',
    deadline: 'waiting: hang-up, failed',
  },
  bound: { ...nothing, detach: 'detached: hang-up', cut: 'connecting: failed, dial' },
  refused: { ...nothing, attach: 'connecting: dial', detach: 'detached' },
};

/** `unconfirmed` is bound, and CONFIRM has yet to come; `new` is a workload that the proxy has never heard of. */
export type ProxyState = 'new' | 'unconfirmed' | 'bound' | 'held' | 'ended';

export const proxyEvents = [
  'RESUME',
  'RESUME again',
  'RESUME of a copy',
  'RESUME, wrong token',
  'RESUME, rewound',
  'RESUME, other version',
  'CONFIRM',
  'OPEN',
  'DETACH',
  'GOODBYE',
  'cut',
  'hold over',
  'stop',
] as const;
export type ProxyEvent = (typeof proxyEvents)[number];

export const proxyTable: Record<ProxyState, Record<ProxyEvent, string>> = {
  new: {
    RESUME: 'unconfirmed: RESUME_OK',
    'RESUME again': 'unconfirmed: RESUME_OK',
    'RESUME of a copy': 'unconfirmed: RESUME_OK',
    'RESUME, wrong token': 'new: not-authorised',
    'RESUME, rewound': 'unconfirmed: RESUME_OK',
    'RESUME, other version': 'new: try-later',
    CONFIRM: 'new: hang-up',
    OPEN: 'new: hang-up',
    DETACH: 'new: hang-up',
    GOODBYE: 'new: hang-up',
    cut: '-',
    'hold over': '-',
    stop: '-',
  },
  unconfirmed: {
    RESUME: 'unconfirmed: RESUME_OK, fence',
    'RESUME again': 'unconfirmed: RESUME_OK, fence',
    'RESUME of a copy': 'unconfirmed: try-later',
    'RESUME, wrong token': 'unconfirmed: not-authorised',
    'RESUME, rewound': 'unconfirmed: RESUME_OK, fence',
    'RESUME, other version': 'unconfirmed: try-later',
    CONFIRM: 'bound',
    OPEN: 'held: hang-up',
    DETACH: 'held: hang-up',
    GOODBYE: 'ended: GOODBYE',
    cut: 'held',
    'hold over': '-',
    stop: 'ended: GOODBYE',
  },
  bound: {
    RESUME: 'unconfirmed: RESUME_OK, fence',
    'RESUME again': 'bound: stale-epoch',
    'RESUME of a copy': 'bound: stale-epoch',
    'RESUME, wrong token': 'bound: not-authorised',
    'RESUME, rewound': 'bound: peer-rewound',
    'RESUME, other version': 'bound: try-later',
    CONFIRM: '-',
    OPEN: 'bound: open',
    DETACH: 'held: hang-up',
    GOODBYE: 'ended: GOODBYE',
    cut: 'held',
    'hold over': '-',
    stop: 'ended: GOODBYE',
  },
  held: {
    RESUME: 'unconfirmed: RESUME_OK',
    'RESUME again': 'held: stale-epoch',
    'RESUME of a copy': 'held: stale-epoch',
    'RESUME, wrong token': 'held: not-authorised',
    'RESUME, rewound': 'held: peer-rewound',
    'RESUME, other version': 'held: try-later',
    CONFIRM: '-',
    OPEN: '-',
    DETACH: '-',
    GOODBYE: '-',
    cut: '-',
    'hold over': 'ended',
    stop: 'ended',
  },
  ended: {
    RESUME: 'ended: hold-expired',
    'RESUME again': 'ended: hold-expired',
    'RESUME of a copy': 'ended: hold-expired',
    'RESUME, wrong token': 'ended: hold-expired',
    'RESUME, rewound': 'ended: hold-expired',
    'RESUME, other version': 'ended: try-later',
    CONFIRM: '-',
    OPEN: '-',
    DETACH: '-',
    GOODBYE: '-',
    cut: '-',
    'hold over': '-',
    stop: '-',
  },
};
