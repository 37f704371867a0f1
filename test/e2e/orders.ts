import { account, node, type World } from '../../fixtures/lab/world.js';

const application = new URL('../../fixtures/apps/insert-rows.js', import.meta.url).pathname;
const waitMsMax = 60_000;
const pollMs = 20;

/** The workload `orders` of an installation: one transaction that goes on all the time, and commands about it. */
export class OrdersWorkload {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Resolves when the first rows are in. */
  async start(): Promise<void> {
    const { shimAddress } = this.#world;
    const login = [`${shimAddress}/${account.service}`, account.user, account.password];
    const { file, args } = node(application, ...login, '1000000');
    await this.#world.holdfast('run', '--name', 'orders', '--listen', shimAddress, '--', file, ...args);
    await this.goesOn();
  }

  /** Waits until the application has inserted more. */
  async goesOn(): Promise<void> {
    const inserted = () => this.#world.output('orders').match(/^inserted/gm)?.length ?? 0;
    const [before, deadlineMs] = [inserted(), performance.now() + waitMsMax];
    while (inserted() <= before) {
      if (performance.now() > deadlineMs) throw new Error('the application does not go on');
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** What a command prints for programs; it may have failed. */
  async ask(verb: string, ...words: readonly string[]) {
    const { code, stdout, stderr } = await this.#world.holdfast(verb, '--json', ...words);
    if (stdout === '') throw new Error(`holdfast ${verb}: ${stderr}`);
    return { code, stderr, reply: JSON.parse(stdout) };
  }
}
