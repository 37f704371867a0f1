/**
 * A proxy with several workers has that many slots. Each has at any time one worker, with sockets, a journal and a life of its own;
 * which slot has a workload follows from the name of the workload alone, so that all lives of it are in one.
 */
import { workloadHash } from '../../shim/program/server-name.js';
import type { ProxyLimits } from '../limits.js';

export interface Slot {
  /** From 0. */
  readonly index: number;
  /** How many slots the proxy has. */
  readonly of: number;
  /** Directory in which workers of one proxy find each other; nobody else may look into it. */
  readonly meeting: string;
}

const variable = 'HOLDFAST_KEEPER_SLOT';

/** Which slot has the workloads with this `workloadHash`. */
export function slotOfHash(hash: number, of: number): number {
  return hash % of;
}

export function slotOf(workload: string, of: number): number {
  return slotOfHash(workloadHash(workload), of);
}

/** Environment of a worker in this slot. */
export function slotEnvironment(slot: Slot): Readonly<Record<string, string>> {
  return { [variable]: JSON.stringify(slot) };
}

/** @returns the slot this process was started in; undefined where there is only one */
export function takeSlot(environment: NodeJS.ProcessEnv): Slot | undefined {
  const text = environment[variable];
  if (text === undefined) return undefined;
  delete environment[variable];
  return JSON.parse(text);
}

/**
 * The part of one slot in what the whole proxy may use. Equal parts, rounded up: workers that told each other what is left would
 * wait for each other at every bind.
 */
export function partOf(limits: ProxyLimits, of: number): ProxyLimits {
  const part = (whole: number): number => Math.ceil(whole / of);
  return {
    ...limits,
    workloadsMax: part(limits.workloadsMax),
    handshakesMax: part(limits.handshakesMax),
    handshakesPerAddressMax: Math.min(limits.handshakesPerAddressMax, part(limits.handshakesMax)),
    sessionsMax: part(limits.sessionsMax),
    sessionsPerUserMax: part(limits.sessionsPerUserMax),
    bindsPerSecond: part(limits.bindsPerSecond),
    bindsAtOnce: part(limits.bindsAtOnce),
    processBytesMax: part(limits.processBytesMax),
  };
}
