import t from 'tap';
import { Quota } from '../../proxy/quota.js';

const many = { sessionsMax: 100, sessionsPerWorkloadMax: 100, sessionsPerUserMax: 100 };

t.test(
  'a session beyond the limit of the proxy or of its workload has no place, until another one has gone',
  async (t) => {
    const quota = new Quota({ ...many, sessionsMax: 3, sessionsPerWorkloadMax: 2 });
    const [first, second] = [quota.open('a'), quota.open('a')];
    t.same([first.refused, second.refused], [undefined, undefined]);
    const third = quota.open('a');
    t.match(third.refused, { code: 'proxy-sessions', message: 'more than 2 sessions of a' });
    third.close();
    const other = quota.open('b');
    t.equal(other.refused, undefined, 'another workload has room');
    const last = quota.open('b');
    t.match(last.refused, { code: 'proxy-sessions', message: 'more than 3 sessions at this proxy' });
    last.close();
    first.close();
    first.close();
    t.equal(quota.sessions, 2, 'a place is given back once');
    t.equal(quota.open('a').refused, undefined);
  },
);

t.test('of one user there may be so many sessions, whichever application they are of', async (t) => {
  const quota = new Quota({ ...many, sessionsPerUserMax: 1 });
  const [first, second] = [quota.open('a'), quota.open('b')];
  t.equal(first.loggedIn('SHOP'), undefined);
  t.equal(first.loggedIn('SHOP'), undefined, 'said twice, counted once');
  t.equal(second.loggedIn('shop'), 'more than 1 sessions of database user SHOP');
  t.equal(quota.open('b').loggedIn('AUDIT'), undefined);
  first.close();
  second.close();
  t.equal(quota.open('b').loggedIn('SHOP'), undefined);
  t.equal(first.loggedIn('SHOP'), undefined, 'who has gone is nobody');
});

t.test('when the proxy is being stopped there is no place for anybody', async (t) => {
  const quota = new Quota(many);
  quota.close();
  t.match(quota.open('a').refused, { code: 'proxy-stopping', source: 'proxy' });
});
