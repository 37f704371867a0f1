/**
 * The drivers of the wire level: so many sessions, each with one call under way at any moment (a closed loop).
 *
 *     node generator.js PORT LOAD CONNECTIONS WARM_MS MEASURE_MS PID,PID...   one line of JSON, a Sample
 *     node generator.js PORT LOAD CONNECTIONS idle                            logs in, says so, and keeps them until it is ended
 *     node generator.js PORT LOAD CONNECTIONS load                            the same, with calls
 *     node generator.js PORT LOAD CONNECTIONS against PORT LOAD TURN_MS TURNS  the same number of sessions over two ways, in turns: Turns
 *     node generator.js PORT churn CONNECTIONS sessions COUNT                 until so many have come and gone: { seconds, sessions }
 *
 * The pids are those of whom the processor time in the window is told, in that order.
 */
import { createHistogram } from 'node:perf_hooks';
import { errorText } from '../../shim/program/errors.js';
import { Channel } from './channel.js';
import { type Conversation, conversation, type Exchange, loadNames } from './conversation.js';
import { dial, Poll, ready } from './kernel.js';
import type { Sample, Turns } from './results.js';
import { sinceThen, usageOf } from './usage.js';

interface Session {
  readonly channel: Channel;
  turn: number;
  /** When what is awaited was asked. */
  askedMs: number;
}

const stallMs = 30_000;

class Generator {
  readonly #port: number;
  readonly #talk: Conversation;
  readonly #isChurn: boolean;
  readonly #poll = new Poll();
  readonly #sessions = new Map<number, Session>();
  readonly #times = createHistogram();
  /** Logged in, and not yet asked to call. */
  readonly #waiting: Session[] = [];
  /** Nobody who has an answer calls again. */
  #isResting = false;
  #requests = 0;
  #loggedIn = 0;
  #closed = 0;

  constructor(port: number, load: string) {
    const name = loadNames.find((each) => each === load);
    if (name === undefined) throw new Error(`no load: ${load}; there are ${loadNames.join(', ')}`);
    this.#port = port;
    this.#talk = conversation(name);
    this.#isChurn = name === 'churn';
  }

  /** Calls begin with `run`. @returns milliseconds until all had logged in */
  open(connections: number): number {
    const fromMs = performance.now();
    for (let count = 0; count < connections; count += 1) {
      this.#open();
      // A listening socket has room for so many that nobody has accepted yet.
      if (count % 128 === 127) while (this.#sessions.size - this.#loggedIn > 128) this.#turn();
    }
    while (this.#loggedIn < connections) this.#turn();
    return performance.now() - fromMs;
  }

  run(ms: number): void {
    for (const session of this.#waiting.splice(0)) this.#ask(session);
    const untilMs = performance.now() + ms;
    while (performance.now() < untilMs) this.#turn();
  }

  /** Runs, and comes to rest: no call is under way afterwards. @returns calls a second until then */
  runForOneTurn(ms: number): number {
    const requests = this.#requests;
    const fromMs = performance.now();
    this.run(ms);
    const rate = ((this.#requests - requests) / (performance.now() - fromMs)) * 1_000;
    this.#isResting = true;
    while (this.#waiting.length < this.#sessions.size) this.#turn();
    this.#isResting = false;
    return rate;
  }

  /** @returns sessions that have come and gone when there are at least so many */
  runUntilClosed(sessions: number): number {
    while (this.#closed < sessions) this.#turn();
    return this.#closed;
  }

  measure(ms: number, pids: readonly number[]): Sample {
    this.#times.reset();
    const requests = this.#requests;
    const [own, before] = [usageOf(process.pid), pids.map(usageOf)];
    const fromMs = performance.now();
    this.run(ms);
    const seconds = (performance.now() - fromMs) / 1_000;
    const usage = pids.map((pid, index) => sinceThen(usageOf(pid), before[index]));
    return {
      seconds,
      requests: this.#requests - requests,
      p50Us: this.#times.percentile(50) / 1_000,
      p99Us: this.#times.percentile(99) / 1_000,
      cpuSeconds: sinceThen(usageOf(process.pid), own).cpuSeconds,
      usage,
    };
  }

  #open(): void {
    const channel = new Channel(dial(this.#port), this.#poll);
    const session = { channel, turn: 0, askedMs: 0 };
    this.#sessions.set(channel.fd, session);
    this.#ask(session);
  }

  #turn(): void {
    const count = this.#poll.wait(stallMs);
    if (count === 0) throw new Error(`nothing has come for ${stallMs} ms`);
    for (let index = 0; index < count; index += 1) {
      const session = this.#sessions.get(this.#poll.fd(index));
      if (session === undefined) continue;
      if ((this.#poll.state(index) & ready.toWrite) !== 0) session.channel.goOn();
      if ((this.#poll.state(index) & ~ready.toWrite) === 0) continue;
      const heard = session.channel.hear();
      if (heard === 'closed') throw new Error('a session was closed');
      if (heard === 'whole') this.#answered(session);
    }
  }

  #answered(session: Session): void {
    this.#times.record(Math.max(1, Math.round((performance.now() - session.askedMs) * 1e6)));
    session.turn += 1;
    const { length } = this.#talk.login;
    if (session.turn > length) this.#requests += 1;
    if (session.turn === length) this.#loggedInWith(session);
    else if (this.#isResting) this.#waiting.push(session);
    else this.#ask(session);
  }

  #loggedInWith(session: Session): void {
    this.#loggedIn += 1;
    if (this.#isChurn) this.#replace(session);
    else this.#waiting.push(session);
  }

  #replace({ channel }: Session): void {
    this.#sessions.delete(channel.fd);
    channel.close();
    this.#closed += 1;
    this.#open();
  }

  #ask(session: Session): void {
    const { request, answer }: Exchange = this.#talk.login[session.turn] ?? this.#talk.call;
    // Of an ACCEPT the proxy changes bits.
    session.channel.expect(answer.length, session.turn === 0 ? undefined : answer.at(-1));
    session.askedMs = performance.now();
    session.channel.say(request);
  }
}

/** Turns that do not count: code and memory of what is measured are not warm before. */
const turnsUncounted = 2;

/** In turns, every other pair of them in the opposite order. */
function takeTurns(one: Generator, other: Generator, ms: number, turns: number): Turns {
  const found: { one: number[]; other: number[] } = { one: [], other: [] };
  for (let turn = 0; turn < turns; turn += 1) {
    const both = [() => found.one.push(one.runForOneTurn(ms)), () => found.other.push(other.runForOneTurn(ms))];
    for (const run of turn % 2 === 0 ? both : both.toReversed()) run();
  }
  return { one: found.one.slice(turnsUncounted), other: found.other.slice(turnsUncounted) };
}

async function main(words: readonly string[]): Promise<void> {
  const [port, load = '', connections, how = '', measureMs, pids = ''] = words;
  const generator = new Generator(Number(port), load);
  const loginMs = generator.open(Number(connections));
  if (how === 'idle' || how === 'load') {
    console.log(JSON.stringify({ loginMs }));
    if (how === 'load') generator.run(Number.POSITIVE_INFINITY);
    await new Promise(() => setInterval(() => undefined, 60_000));
  } else if (how === 'against') {
    const [otherPort, otherLoad = '', turnMs, turns] = words.slice(4);
    const other = new Generator(Number(otherPort), otherLoad);
    other.open(Number(connections));
    console.log(JSON.stringify(takeTurns(generator, other, Number(turnMs), Number(turns) + turnsUncounted)));
  } else if (how === 'sessions') {
    const fromMs = performance.now();
    const sessions = generator.runUntilClosed(Number(measureMs));
    console.log(JSON.stringify({ seconds: (performance.now() - fromMs) / 1_000, sessions }));
  } else {
    generator.run(Number(how));
    const others = pids.split(',').filter((each) => each !== '');
    console.log(JSON.stringify(generator.measure(Number(measureMs), others.map(Number)) satisfies Sample));
  }
}

try {
  await main(process.argv.slice(2));
  // The sessions end with the process.
  process.exit();
} catch (error) {
  console.error(errorText(error));
  process.exit(1);
}
