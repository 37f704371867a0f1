/** What must never happen has happened. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly rule: Rule;

  constructor(rule: Rule, message: string) {
    super(message);
    this.rule = rule;
  }
}

export type Rule =
  /** A byte arrived that is not the next one that was said. */
  | 'not-what-was-said'
  /** Something was still missing when faults had stopped and time had passed. */
  | 'not-delivered'
  /** One side saw the end of a stream, the other did not, or an end without a cause. */
  | 'end-not-seen'
  /** An end of the link accused the other of breaking the rules. */
  | 'rules-broken'
  /** More is stored than the limits allow. */
  | 'memory'
  /** An epoch that is not one more than the newest. */
  | 'epochs-grow'
  /** A byte reached the database by a connection that does not own the workload. */
  | 'one-epoch-writes'
  /** A token, or a RESUME, served once more. */
  | 'token-serves-once'
  /** A copy was bound that does not remember what the database has heard from it. */
  | 'rewound-bound'
  /** A bind without a token that the proxy has given, or none that fits. */
  | 'stranger-bound'
  /** A shim was refused without a reason. */
  | 'refused-wrongly'
  /** A hold ended too early, too late, or not at all. */
  | 'hold'
  /** A shim is neither bound nor refused when faults have stopped. */
  | 'not-settled'
  /** The two ends of the link have another hash of the same range. */
  | 'fingerprints'
  /** A session did not go on with the next worker of the proxy, and there was no reason. */
  | 'not-taken-over'
  /** The code threw what it must not throw. */
  | 'crash';
