/**
 * The database of the wire level: answers every message at once. It reads the CONNECT, which names the load; from then on it
 * counts bytes.
 *
 *     node database.js PORT
 */
import { Channel } from './channel.js';
import {
  type Conversation,
  connectBytes,
  conversation,
  type Exchange,
  type LoadName,
  loadNames,
  loadOf,
} from './conversation.js';
import { accept, listen, Poll, ready } from './kernel.js';

interface Session {
  readonly channel: Channel;
  /** Undefined until the CONNECT has come. */
  conversation: Conversation | undefined;
  /** As far as it has come. */
  connect: Buffer;
  /** What is being asked, by its number; behind the login come calls. */
  turn: number;
}

const conversations = new Map<LoadName, Conversation>(loadNames.map((name) => [name, conversation(name)]));
const poll = new Poll();
const sessions = new Map<number, Session>();

function open(fd: number): void {
  const channel = new Channel(fd, poll);
  channel.expect(connectBytes);
  sessions.set(fd, { channel, conversation: undefined, connect: Buffer.alloc(0), turn: 0 });
}

function hear(session: Session): void {
  const { channel } = session;
  const heard =
    session.conversation === undefined
      ? channel.hear((bytes) => {
          session.connect = Buffer.concat([session.connect, bytes]);
        })
      : channel.hear();
  if (heard === 'whole') answer(session);
  if (heard !== 'closed') return;
  sessions.delete(channel.fd);
  channel.close();
}

function answer(session: Session): void {
  const { channel } = session;
  if (session.conversation === undefined) session.conversation = conversations.get(loadOf(session.connect) ?? 'small');
  if (session.conversation === undefined) throw new Error('there is no such load');
  channel.say(exchangeAt(session.conversation, session.turn).answer);
  session.turn += 1;
  channel.expect(exchangeAt(session.conversation, session.turn).request.length);
}

function exchangeAt({ login, call }: Conversation, turn: number): Exchange {
  return login[turn] ?? call;
}

const listening = listen(Number(process.argv[2]));
poll.add(listening, ready.toRead);
console.log('ready for drivers');
for (;;) {
  const count = poll.wait(-1);
  for (let index = 0; index < count; index += 1) {
    const fd = poll.fd(index);
    if (fd === listening) {
      for (let next = accept(listening); next !== undefined; next = accept(listening)) open(next);
      continue;
    }
    const session = sessions.get(fd);
    if (session === undefined) continue;
    if ((poll.state(index) & ready.toWrite) !== 0) session.channel.goOn();
    if ((poll.state(index) & ~ready.toWrite) !== 0) hear(session);
  }
}
