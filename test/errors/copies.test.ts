import net, { type AddressInfo, type Socket } from 'node:net';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { frameTypes } from '../../shim/link/index.js';
import { logOf, portOf, rejection, start } from './parts.js';

/** Two copies of one application at once, with real processes and drivers: the second is refused, the first does not notice. */

const login = { user: 'app', password: 'app' };
const headerBytes = 24;
const callSeconds = 60;

/** Stands between a shim and the proxy, sees what the shim presents, and can present something else for it. */
class Between {
  readonly presented: Buffer[] = [];
  /** Said in place of the next RESUME. */
  instead: Buffer | undefined;
  refusedAtMs: number | undefined;
  readonly #server: net.Server;
  readonly #proxyPort: number;
  readonly #sockets = new Set<Socket>();

  constructor(t: Test, proxyPort: number) {
    this.#proxyPort = proxyPort;
    this.#server = net.createServer((near) => this.#carry(near));
    t.teardown(() => {
      this.cut();
      this.#server.close();
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }
  /** Breaks all links that go through here. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #carry(near: Socket): void {
    const far = net.connect(this.#proxyPort, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    let first: Buffer | undefined = Buffer.alloc(0);
    near.on('data', (chunk: Buffer) => {
      if (first === undefined) {
        far.write(chunk);
        return;
      }
      first = Buffer.concat([first, chunk]);
      const length = first.length < headerBytes ? Number.POSITIVE_INFINITY : headerBytes + first.readUIntBE(1, 3);
      if (first.length < length) return;
      this.presented.push(first.subarray(0, length));
      far.write(this.instead ?? first.subarray(0, length));
      far.write(first.subarray(length));
      first = undefined;
    });
    far.on('data', (chunk: Buffer) => {
      if (chunk[0] === frameTypes.rejected) this.refusedAtMs = performance.now();
      near.write(chunk);
    });
  }
}

t.test(
  'of an image that is bound twice the second copy is refused, its driver hears of it at once, and the first goes on',
  async (t) => {
    const plain = '--insecure-plaintext';
    const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0');
    const database = `127.0.0.1:${await portOf(oracle)}`;
    const listens = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
    const proxy = start(t, 'holdfast-proxy', '--database', database, ...listens, plain);
    const proxyPort = await portOf(proxy);
    const copy = async () => {
      const between = new Between(t, proxyPort);
      const to = ['--proxy', `127.0.0.1:${await between.listen()}`, '--listen', '127.0.0.1:0', plain];
      const shim = start(t, 'holdfast-shim', '--workload', 'orders', ...to);
      const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
      await shim.printed(/"bound"/);
      return { between, shim, connection: await oracledb.getConnection({ ...login, connectString }) };
    };
    const one = await copy();
    await one.connection.execute('CREATE TABLE copies (id NUMBER)');
    await one.connection.execute('INSERT INTO copies VALUES (1)');
    const two = await copy();
    const call = rejection(two.connection.execute(`BEGIN DBMS_SESSION.SLEEP(${callSeconds}); END;`));

    one.between.cut();
    await one.shim.printed(/"epoch":2/);
    // What the other copy of this image says is to the letter what this one has said; from here on it is two.
    two.between.instead = one.between.presented[1];
    two.between.cut();
    const error = await call;
    const heardAtMs = performance.now();

    t.match(error, { code: /^(NJS-500|NJS-501|ORA-03113)$/, isRecoverable: true });
    const refusedAtMs = two.between.refusedAtMs ?? 0;
    t.ok(
      refusedAtMs > 0 && heardAtMs - refusedAtMs < callSeconds * 500,
      `${Math.round(heardAtMs - refusedAtMs)} ms after the refusal, long before its call would have ended`,
    );
    await two.shim.printed(/refused-stale-epoch/);
    t.ok(
      logOf(two.shim).some(({ code }) => code === 'refused-stale-epoch'),
      'the shim says why',
    );

    await one.connection.execute('INSERT INTO copies VALUES (2)');
    await one.connection.commit();
    t.same((await one.connection.execute('SELECT COUNT(*) FROM copies')).rows, [[2]], 'nothing was rolled back');
    await one.connection.close();
  },
);
