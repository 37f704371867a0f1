import { BackendError } from '../../proxy/backend/errors.js';
import type { Activity } from '../../proxy/policy/rules.js';
import { decodeResume, type Epoch, encodeResume, frameTypes, type Resume, tokenBytes } from '../../shim/link/index.js';
import type { Random } from '../../shim/program/random.js';
import type { Application, Driver } from './application.js';
import type { Database } from './database.js';
import type { Action } from './faults.js';
import { headerBytes, type Wire } from './wire.js';
import type { World } from './world.js';

/** Lets things happen to a world. What takes its time (a move, a freeze) is carried on by the timeline. */
export class Actions {
  readonly #world: World;
  readonly #random: Random;
  #busyUntilMs = 0;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random;
  }

  take(action: Action): void {
    this.#table[action]();
  }

  /** When the last of what has begun so far will be over. */
  get busyUntilMs(): number {
    return this.#busyUntilMs;
  }

  readonly #table: Record<Action, () => void> = {
    connect: () => this.#app((app) => app.connectDriver()),
    driverSays: () => {
      const count = this.#random.between(1, this.#world.faults.sayBytes);
      this.#driver((driver, voice) => driver.say(voice, count));
    },
    databaseSays: () => {
      const count = this.#random.between(1, this.#world.faults.sayBytes);
      this.#database((database) => database.say(count));
    },
    driverEnds: () => {
      const resets = this.#random.chance(0.3);
      this.#driver((driver) => (resets ? driver.reset() : driver.end()));
    },
    databaseEnds: () => this.#databaseEnds(),
    driverReads: () => this.#driver((driver) => driver.setReads(!driver.reads)),
    databaseReads: () => this.#database((database) => database.setReads(!database.reads)),
    databaseWorks: () => {
      const work: Activity = this.#random.pick(['idle', 'call', 'transaction']);
      this.#database((database) => database.begin(work));
    },
    cut: () =>
      this.#wire((wire) => {
        const how = this.#random.below(3);
        if (how === 0) this.#world.cut(wire);
        else if (how === 1) this.#world.cutNear(wire);
        else this.#world.cutFar(wire);
      }),
    cutAfterBytes: () => this.#wire((wire) => this.#pipe(wire).cutAfter(this.#random.below(200))),
    halfOpen: () => this.#wire((wire) => this.#pipe(wire).close()),
    silence: () => this.#wire((wire) => this.#world.silence(wire)),
    stall: () =>
      this.#wire((wire) => {
        const ms = this.#random.below(1_500);
        this.#pipe(wire).stall(ms);
        if (this.#random.chance(0.3)) wire.up.stall(ms);
      }),
    lateResume: () => {
      this.#world.delaysResume = true;
      this.#wire((wire) => this.#world.cutNear(wire));
    },
    outage: () => {
      this.#world.outageUntilMs = this.#world.timeline.nowMs + this.#random.below(800);
    },
    detach: () =>
      this.#app((app) => {
        app.detach();
        this.#later(1_500, () => {
          if (!app.isStopping) app.attach();
        });
      }),
    freeze: () =>
      this.#app((app) => {
        app.freeze();
        this.#later(1_500, () => app.thaw());
      }),
    move: () => this.#move('killed'),
    failedMove: () => this.#failedMove(),
    twice: () => this.#move(this.#random.pick(['goes on', 'copied twice'])),
    rewind: () => this.#rewind(),
    clockJump: () => {
      if (this.#random.chance(0.3)) {
        const ms = this.#random.below(3_000);
        this.#world.holds.lateMs += ms;
        this.#world.gate.jump(ms);
      } else this.#app((app) => app.jump(this.#random.pick([this.#random.below(10_000), -this.#random.below(200)])));
    },
    shimRestart: () =>
      this.#app((app) => {
        this.#world.kill(app);
        this.#world.startShim();
      }),
    shimStop: () =>
      this.#app((app) => {
        app.stop();
        this.#later(300, () => {
          this.#world.kill(app);
          this.#world.startShim();
        });
      }),
    proxyFreeze: () => {
      const { gate, timeline, holds } = this.#world;
      const { nowMs } = timeline;
      gate.freeze();
      this.#later(1_000, () => {
        holds.lateMs += timeline.nowMs - nowMs;
        gate.thaw();
      });
    },
    proxyRestart: () => this.#world.restartProxy(),
    workerDies: () => this.#world.gate.fate.dieAfter(this.#random.below(this.#random.pick([3, 12, 60]))),
    skew: () => {
      this.#world.skewUntilMs = this.#world.timeline.nowMs + this.#random.below(1_000);
    },
    intruder: () => this.#intrude(),
  };

  /** Detached or not, frozen, and gone on from its image, once or twice. */
  #move(original: 'killed' | 'goes on' | 'copied twice'): void {
    this.#app((app) => {
      this.#freezeForImage(app, () => {
        const image = app.image();
        this.#later(400, () => {
          if (original === 'goes on') app.thaw();
          else this.#world.kill(app);
          if (original === 'goes on' && this.#random.chance(0.5)) app.attach();
          for (let copies = original === 'copied twice' ? 2 : 1; copies > 0; copies -= 1) this.#revive(image);
        });
      });
    });
  }

  #failedMove(): void {
    this.#app((app) => {
      this.#freezeForImage(app, () => {
        const copy = this.#revive(app.image());
        this.#later(300, () => {
          this.#world.kill(copy);
          app.thaw();
          app.attach();
        });
      });
    });
  }

  #rewind(): void {
    this.#app((app) => {
      const image = app.image();
      this.#later(600, () => {
        if (this.#random.chance(0.7)) this.#world.kill(app);
        this.#revive(image);
      });
    });
  }

  #freezeForImage(app: Application, then: () => void): void {
    if (this.#random.chance(0.7)) app.detach();
    this.#later(20, () => {
      if (app.dead || app.frozen || app.isStopping) return;
      app.freeze();
      then();
    });
  }

  #revive(image: ReturnType<Application['image']>): Application {
    const copy = this.#world.startShim(image);
    if (this.#random.chance(0.2)) copy.jump(this.#random.below(5_000));
    copy.attach();
    return copy;
  }

  #databaseEnds(): void {
    const how = this.#random.below(3);
    this.#database((database) => {
      if (how === 0) database.endSpeech();
      else if (how === 1) database.close(new BackendError('database-lost', 'read ECONNRESET'));
      else {
        database.endSpeech();
        database.close(undefined);
      }
    });
  }

  #intrude(): void {
    const heard = this.#world.lastPresented();
    const bytes = heard?.presented?.bytes;
    if (heard === undefined || bytes === undefined) return;
    const resume = decodeResume(bytes.subarray(headerBytes));
    const how = this.#random.below(3);
    if (how === 0) this.#world.intrude(heard, bytes);
    else if (how === 1) {
      const token = Buffer.alloc(tokenBytes, this.#random.below(256));
      this.#world.intrude(heard, encodeResume({ ...resume, attempt: resume.attempt + 100, token }));
    } else this.#intrudeUnconfirmed(resume);
  }

  /** Somebody who has the token that the shim has been given says nothing of CONFIRM, but a lot besides. */
  #intrudeUnconfirmed(like: Resume): void {
    const robbed = this.#world.lastBound();
    if (robbed?.token === undefined || robbed.epoch === undefined) return;
    const { link, instance } = robbed.app.dialer;
    const identity = {
      ...like,
      instance,
      epoch: robbed.epoch as Epoch,
      token: robbed.token,
      attempt: like.attempt + 1,
    };
    const account = link.account();
    const wire = this.#world.intrude(robbed, encodeResume({ ...identity, ...account }));
    for (const state of account.streams) wire.up.write(dataFrame(state.id, state.sent, 'DROP TABLE'));
  }

  #pipe(wire: Wire): Wire['up'] {
    return this.#random.chance(0.5) ? wire.up : wire.down;
  }

  #later(withinMs: number, act: () => void): void {
    const { timeline } = this.#world;
    const atMs = timeline.nowMs + this.#random.below(withinMs);
    this.#busyUntilMs = Math.max(this.#busyUntilMs, atMs);
    timeline.at(atMs, act);
  }

  #app(act: (app: Application) => void): void {
    const alive = this.#world.apps.filter((app) => !app.dead && !app.isStopping);
    const app = alive[this.#random.below(alive.length)];
    if (app !== undefined) act(app);
  }

  #driver(act: (driver: Driver, voice: number) => void): void {
    this.#app((app) => {
      const index = this.#random.below(app.drivers.length);
      const { voice } = app;
      app.driver(index, (driver) => act(driver, voice));
    });
  }

  #database(act: (database: Database) => void): void {
    const { gate, auditor } = this.#world;
    const sessions = [...auditor.sessions.values()].filter(({ database }) => !database.isOver);
    const session = sessions[this.#random.below(sessions.length)];
    if (session !== undefined) gate.input(() => act(session.database));
  }

  #wire(act: (wire: Wire) => void): void {
    const recent = this.#world.wires.slice(-3);
    const wire = recent[this.#random.below(recent.length)];
    if (wire !== undefined) act(wire);
  }
}

function dataFrame(stream: number, position: number, text: string): Buffer {
  const frame = Buffer.alloc(headerBytes + text.length);
  frame.writeUInt8(frameTypes.data, 0);
  frame.writeUIntBE(text.length, 1, 3);
  frame.writeUInt32BE(stream, 4);
  frame.writeUInt32BE(position, 12);
  frame.write(text, headerBytes);
  return frame;
}
