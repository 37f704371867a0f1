import t from 'tap';
import {
  bindRefusal,
  identityOf,
  identityText,
  identityUri,
  isExpected,
  keyFileName,
  mayCall,
  type Peer,
  parseIdentity,
} from '../../../shim/program/identity.js';
import { identity } from './certificates.js';

const peer = (who: string): Peer => ({ kind: 'certified', identity: identity(who) });
const secret: Peer = { kind: 'trusted', by: 'secret' };
const nameless: Peer = { kind: 'nameless' };

t.test('an identity is written as a word, as a URI and as a file name', async (t) => {
  const cases = [
    ['proxy', 'holdfast://proxy', 'proxy.pem'],
    ['agent:node-a', 'holdfast://agent/node-a', 'agent-node-a.pem'],
    ['operator:alice', 'holdfast://operator/alice', 'operator-alice.pem'],
    ['workload:orders', 'holdfast://workload/orders', 'workload-orders.pem'],
  ] as const;
  for (const [text, uri, file] of cases) {
    const found = identity(text);
    t.same([identityText(found), identityUri(found), keyFileName(found)], [text, uri, file]);
    t.same(identityOf(`DNS:db.example, URI:${uri}, IP Address:127.0.0.1`), found);
  }
});

t.test(
  'what is no identity is none: a workload without a name, unknown roles, names that lead elsewhere',
  async (t) => {
    for (const text of [
      'workload',
      'root',
      'agent:',
      'workload:../../etc',
      'workload:a/b',
      'workload:a:b',
      '',
      'Proxy',
    ]) {
      t.equal(parseIdentity(text), undefined, text);
    }
    t.equal(identityOf('URI:holdfast://workload'), undefined);
    t.equal(identityOf('URI:holdfast://workload/a/b'), undefined);
    t.equal(identityOf('URI:https://proxy'), undefined);
    t.equal(identityOf(undefined), undefined);
  },
);

t.test('a certificate with two identities, or with one that is forged inside another name, has none', async (t) => {
  t.equal(identityOf('URI:holdfast://workload/orders, URI:holdfast://operator'), undefined);
  t.equal(identityOf('URI:holdfast://workload/orders, DNS:"a, URI:holdfast://operator, b"'), undefined);
  t.equal(identityOf('DNS:"a, URI:holdfast://operator, b"'), undefined);
});

t.test('a name counts where both sides have one', async (t) => {
  t.ok(isExpected(identity('agent:node-a'), identity('agent')));
  t.ok(isExpected(identity('agent'), identity('agent:node-a')));
  t.notOk(isExpected(identity('agent:node-a'), identity('agent:node-b')));
  t.notOk(isExpected(identity('proxy'), identity('agent')));
});

t.test('only the certificate of a workload binds it; without certificates whoever is trusted does', async (t) => {
  t.equal(bindRefusal(peer('workload:a'), 'a'), undefined);
  t.equal(bindRefusal(secret, 'a'), undefined);
  t.equal(bindRefusal(peer('workload:a'), 'b'), 'workload:a may not bind workload b');
  for (const who of ['proxy', 'agent', 'operator']) t.match(bindRefusal(peer(who), 'a'), /may not bind/);
  t.equal(bindRefusal(nameless, 'a'), 'a certificate without a role may not bind workload a');
});

t.test('operators call everything, others what a verb allows them, a certificate without a role nothing', async (t) => {
  t.same(
    ['operator', 'agent', 'proxy', 'workload:a'].map((who) => mayCall(peer(who), ['agent'])),
    [true, true, false, false],
  );
  t.same(
    ['operator:alice', 'agent', 'proxy', 'workload:a'].map((who) => mayCall(peer(who), [])),
    [true, false, false, false],
  );
  t.same([mayCall(secret, []), mayCall(nameless, ['agent', 'workload'])], [true, false]);
});
