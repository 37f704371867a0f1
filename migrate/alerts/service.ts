import { callControl } from '../../shim/control/rpc-client.js';
import { agentAddress } from '../cluster.js';
import { agentContract } from '../contract.js';
import { evacuateNode } from '../fleet/evacuate.js';
import type { EvacuationRecord } from '../fleet/evacuation.js';
import type { EvacuateRequest } from '../fleet/messages.js';
import { runHook } from '../hooks.js';
import type { Node } from '../node.js';
import {
  type AlertAction,
  type AlertEvent,
  type AlertResult,
  afterRestart,
  alertState,
  nextTickMs,
  noAlerts,
  stepAlerts,
} from './machine.js';
import { type Alert, type AlertMessage, alertsOf } from './payload.js';
import { type AlertRule, type AlertRules, decide } from './rules.js';

/** Node.js' timers end there; whoever waits longer looks again. */
const timerMsMax = 2_147_483_647;

/** Keeps the state of the alerts in the state directory, waits, and lets nodes be emptied. */
export class AlertService {
  readonly #node: Node;
  readonly #rules: AlertRules;
  readonly #evacuate: (node: string, request: EvacuateRequest) => Promise<EvacuationRecord>;
  #state: ReturnType<typeof afterRestart>;
  #timer: NodeJS.Timeout | undefined;

  constructor(node: Node, rules: AlertRules, evacuate = evacuateAt(node)) {
    this.#node = node;
    this.#rules = rules;
    this.#evacuate = evacuate;
    this.#state = afterRestart(node.store.readNote(this.#note, alertState) ?? noAlerts);
    this.#setTimer();
  }

  /** @returns what became of each alert */
  readonly receive = (message: AlertMessage): { alerts: readonly object[] } => {
    const hosts = Object.entries(this.#node.cluster.nodes).map(([name, { agent }]) => [name, agent.host] as const);
    const nodes = Object.fromEntries(hosts);
    if (message.truncatedAlerts > 0) {
      this.#node.log.warn({ truncatedAlerts: message.truncatedAlerts }, 'the sender has left alerts out');
    }
    const alerts = alertsOf(message).map((alert) => {
      const decision = decide(this.#rules, alert.labels, nodes);
      const result = this.#step({ kind: 'received', alert, decision });
      const rule = decision.kind === 'ignore' ? undefined : decision.rule.name;
      const node = decision.kind === 'evacuate' ? decision.node : undefined;
      const { fingerprint, status, labels } = alert;
      this.#node.log.info({ fingerprint, status, alertname: labels.alertname, rule, node, result }, 'alert');
      return { fingerprint, result, rule, node };
    });
    return { alerts };
  };

  close(): void {
    clearTimeout(this.#timer);
  }

  get #note(): string {
    return `alerts-${this.#node.name}`;
  }

  #step(event: AlertEvent): AlertResult | undefined {
    const { state, actions, result } = stepAlerts(this.#state, event, this.#rules['at-once'], Date.now());
    if (state !== this.#state) {
      this.#state = state;
      // Before anything is done: an agent that dies then does not do it twice.
      this.#node.store.writeNote(this.#note, state);
    }
    for (const action of actions) this.#perform(action);
    this.#setTimer();
    return result;
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    const dueMs = nextTickMs(this.#state, this.#rules['at-once']);
    if (dueMs === undefined) return;
    const waitMs = Math.min(Math.max(0, dueMs - Date.now()), timerMsMax);
    this.#timer = setTimeout(() => this.#step({ kind: 'tick' }), waitMs).unref();
  }

  #perform(action: AlertAction): void {
    if (action.kind === 'evacuate') void this.#empty(action);
    else notify(this.#node, action.rule, action.alert);
  }

  async #empty({ key, node, rule: name }: AlertAction & { kind: 'evacuate' }): Promise<void> {
    const { log } = this.#node;
    const rule = this.#rules.rules.find((each) => each.name === name);
    try {
      // The rules may be others than those that were there when the alert came.
      if (rule === undefined) throw new Error(`there is no rule ${name} any more`);
      log.warn({ node, rule: name, dryRun: rule['dry-run'] }, 'a node is emptied because of an alert');
      const record = await this.#evacuate(node, requestOf(rule, this.#node.name));
      const { state, stopped, unplaced, moves } = record;
      const moved = moves.filter((move) => move.state === 'moved').length;
      const level = state === 'done' && moved === moves.length && unplaced.length === 0 ? 'info' : 'error';
      const plan = state === 'planned' ? { plan: moves.map(({ workload, to }) => `${workload} to ${to}`) } : {};
      log[state === 'planned' ? 'info' : level](
        { node, rule: name, state, stopped, moved, unplaced, ...plan },
        'emptied',
      );
    } catch (err) {
      log.error({ err, node, rule: name }, 'a node could not be emptied');
    }
    this.#step({ kind: 'ended', key });
  }
}

function notify({ log, hooks }: Node, rule: string, { fingerprint, labels, annotations, startsAt }: Alert): void {
  const told = { rule, fingerprint, labels, annotations, startsAt };
  log.warn(told, 'alert to be told of');
  void runHook(hooks, 'on-alert', told).catch((err: unknown) => log.error({ err, rule }, 'a hook failed'));
}

function requestOf(rule: AlertRule, agent: string): EvacuateRequest {
  return {
    ...(rule.to === undefined ? {} : { to: rule.to }),
    dryRun: rule['dry-run'],
    // Nobody is there to decide about an evacuation that was stopped before, and the node may fail: what was lost stays as it is.
    anew: true,
    ignoreAntiAffinity: rule['ignore-anti-affinity'],
    allowUnknown: rule['allow-unknown'],
    concurrency: rule.concurrency,
    mover: 'own',
    by: { user: `alert ${rule.name}`, host: agent },
  };
}

/** A node empties itself: its agent is asked, unless it is this one. */
function evacuateAt(own: Node) {
  return (node: string, request: EvacuateRequest): Promise<EvacuationRecord> => {
    if (node === own.name) return evacuateNode(own, request, () => {});
    const expect = { role: 'agent', name: node } as const;
    const target = { address: agentAddress(own.cluster, node), security: own.security, expect };
    return callControl(agentContract, target, 'evacuate', request, { timeoutMs: 0 });
  };
}
