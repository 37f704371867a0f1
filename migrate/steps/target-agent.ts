import type { ControlClient } from '../../shim/control/rpc-client.js';
import type { MoveContext } from '../context.js';
import type { AgentVerbs } from '../contract.js';
import { fromTarget } from '../preflight/examine.js';

/**
 * The agent of the target, on the connection there is or on a new one: it may have been started again in between.
 * @throws {MoveError} agent-unreachable, not-authorised, wrong-contract
 */
export async function targetAgent(context: MoveContext): Promise<ControlClient<AgentVerbs>> {
  const { found, target } = context;
  if (found.agent?.isOpen) return found.agent;
  try {
    found.agent = await target.connect();
    return found.agent;
  } catch (cause) {
    throw fromTarget(cause, target.node);
  }
}
