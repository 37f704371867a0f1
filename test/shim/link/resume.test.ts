import { pack } from 'msgpackr';
import t from 'tap';
import type { Epoch, StreamId } from '../../../shim/link/frame.js';
import { headerBytes } from '../../../shim/link/frame.js';
import { defaultLimits } from '../../../shim/link/limits.js';
import { Link } from '../../../shim/link/link.js';
import {
  type Binding,
  bound,
  confirmed,
  decodeRejected,
  decodeResume,
  decodeResumeOk,
  encodeRejected,
  encodeResume,
  encodeResumeOk,
  judge,
  noBinding,
  type Resume,
} from '../../../shim/link/resume.js';

const token = (fill: number): Buffer => Buffer.alloc(32, fill);
const stream = { id: 3 as StreamId, received: 10, consumed: 9, firstAvailable: 4, sent: 20 };
const resume: Resume = {
  version: 1,
  workload: 'orders',
  instance: 'abc',
  epoch: 0 as Epoch,
  token: Buffer.alloc(0),
  attempt: 1,
  lastStream: 3,
  sentTotal: 20,
  receivedTotal: 10,
  windowBytes: 1000,
  streams: [stream],
};
const fresh = (): Link =>
  new Link('proxy', defaultLimits, {
    opened: () => undefined,
    deliver: () => undefined,
    peerEnded: () => undefined,
    room: () => undefined,
    forgotten: () => undefined,
    wake: () => undefined,
    acksWaiting: () => undefined,
  });

t.test('every message of the handshake comes back as it was sent', async (t) => {
  t.strictSame(decodeResume(encodeResume(resume).subarray(headerBytes)), resume);
  const ok = {
    version: 1,
    epoch: 7 as Epoch,
    token: token(1),
    lastStream: 3,
    sentTotal: 20,
    receivedTotal: 10,
    windowBytes: 5,
    streams: [stream],
    replayedBytes: 12,
  };
  t.strictSame(decodeResumeOk(encodeResumeOk(ok).subarray(headerBytes)), ok);
  const no = { version: 1, verdict: 'try-later' as const, reason: 'full', retryAfterMs: 100 };
  t.strictSame(decodeRejected(encodeRejected(no).subarray(headerBytes)), no);
});

t.test('a RESUME_OK of another version severs the link, and ends nothing', async (t) => {
  const ok = { ...resume, version: 2, epoch: 7 as Epoch, token: token(1), replayedBytes: 0 };
  t.throws(() => decodeResumeOk(encodeResumeOk(ok).subarray(headerBytes)), { code: 'link-version' });
});

t.test('a verdict of a newer proxy is final', async (t) => {
  const later = pack({ version: 2, verdict: 'moon-phase', reason: '', retryAfterMs: 0 });
  t.equal(decodeRejected(later).verdict, 'not-authorised');
});

t.test('a handshake that does not make sense is refused with a code', async (t) => {
  const bad: [string, unknown, string][] = [
    ['no record', 5, 'link-frame-malformed'],
    ['another version', { ...resume, version: 2 }, 'link-version'],
    ['a workload without a name', { ...resume, workload: '' }, 'link-frame-malformed'],
    ['a name of 129 characters', { ...resume, workload: 'x'.repeat(129) }, 'link-frame-malformed'],
    ['a negative epoch', { ...resume, epoch: -1 }, 'link-frame-malformed'],
    ['a token of 31 bytes', { ...resume, token: Buffer.alloc(31) }, 'link-frame-malformed'],
    ['streams that are no list', { ...resume, streams: {} }, 'link-frame-malformed'],
    ['half a stream', { ...resume, streams: [1, 2] }, 'link-frame-malformed'],
    ['streams out of order', { ...resume, streams: [2, 0, 0, 0, 0, 1, 0, 0, 0, 0] }, 'link-frame-malformed'],
    ['consumed before it was received', { ...resume, streams: [1, 0, 1, 0, 0] }, 'link-frame-malformed'],
    ['a fraction of a byte', { ...resume, streams: [1, 0.5, 0, 0, 0] }, 'link-frame-malformed'],
  ];
  for (const [what, value, code] of bad) t.throws(() => decodeResume(pack(value)), { code }, what);
  t.throws(() => decodeResume(Buffer.from('c1', 'hex')), { code: 'link-frame-malformed' }, 'no msgpack');
});

t.test('who may bind', async (t) => {
  const once = bound(noBinding, resume, token(1));
  const bindings: Record<string, Binding> = {
    never: noBinding,
    'bound once, unconfirmed': once,
    'bound once': confirmed(once),
    'bound twice, unconfirmed': bound(confirmed(once), { ...resume, epoch: 1 as Epoch, token: token(1) }, token(2)),
    'three answers lost': bound(bound(bound(noBinding, resume, token(1)), resume, token(2)), resume, token(3)),
    'bound twice': { epoch: 2 as Epoch, token: token(2), unconfirmed: undefined, attempt: 2 },
  };
  const table: [string, number, Buffer, string | undefined][] = [
    ['never', 0, Buffer.alloc(0), undefined],
    ['never', 0, token(1), 'not-authorised'],
    ['never', 1, token(1), 'stale-epoch'],
    ['bound once, unconfirmed', 0, Buffer.alloc(0), undefined],
    ['bound once, unconfirmed', 1, token(1), undefined],
    ['bound once', 0, Buffer.alloc(0), 'stale-epoch'],
    ['bound once', 1, token(1), undefined],
    ['bound once', 1, token(9), 'not-authorised'],
    ['bound once', 1, Buffer.alloc(0), 'not-authorised'],
    ['bound twice, unconfirmed', 1, token(1), undefined],
    ['bound twice, unconfirmed', 1, token(2), 'not-authorised'],
    ['bound twice, unconfirmed', 0, Buffer.alloc(0), 'stale-epoch'],
    ['three answers lost', 0, Buffer.alloc(0), undefined],
    ['three answers lost', 3, token(3), undefined],
    ['three answers lost', 2, token(2), 'stale-epoch'],
    ['bound twice', 1, token(1), 'stale-epoch'],
    ['bound twice', 2, token(2), undefined],
    ['bound twice', 3, token(2), 'stale-epoch'],
  ];
  for (const [name, epoch, presented, verdict] of table) {
    const binding = bindings[name] ?? noBinding;
    const asked = { ...resume, streams: [], epoch: epoch as Epoch, token: presented, attempt: 99 };
    t.equal(
      judge(asked, binding, fresh())?.verdict,
      verdict,
      `${name}: epoch ${epoch}, token ${presented[0] ?? 'none'}`,
    );
  }
});

t.test(
  'a RESUME that arrives after one the shim sent later does not bind, and is not refused for good: it may be a copy',
  async (t) => {
    const newer = bound(noBinding, { ...resume, attempt: 2 }, token(1));
    const late = { ...resume, streams: [], attempt: 1 };
    t.equal(judge(late, newer, fresh())?.verdict, 'try-later');
    t.equal(
      judge({ ...late, attempt: 2 }, newer, fresh())?.verdict,
      'try-later',
      'nor does a copy of the same image bind',
    );
    t.equal(judge({ ...late, attempt: 3 }, newer, fresh()), undefined, 'the answer was lost, the shim comes again');
    t.equal(judge({ ...late, epoch: 1 as Epoch, token: token(1), attempt: 3 }, newer, fresh()), undefined);
  },
);
