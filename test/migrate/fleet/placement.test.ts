import fc from 'fast-check';
import t from 'tap';
import {
  antiAffinityLabel,
  type Guest,
  type Host,
  memoryReserveShare,
  type Placements,
  placeGuests,
} from '../../../migrate/fleet/placement.js';
import { compareStakes } from '../../../migrate/fleet/stakes.js';

const labels = fc.constantFrom({}, {}, { [antiAffinityLabel]: 'one' }, { [antiAffinityLabel]: 'two' }, { tier: 'db' });
const guests: fc.Arbitrary<Guest[]> = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z]{1,3}$/),
    memoryBytes: fc.nat(400),
    labels,
    sessions: fc.nat(3),
    transactions: fc.nat(2),
    callsInFlight: fc.nat(2),
    waiters: fc.nat(2),
  }),
  { selector: ({ name }) => name, maxLength: 12 },
);
const hosts: fc.Arbitrary<Host[]> = fc.uniqueArray(
  fc.record({
    node: fc.stringMatching(/^[A-D]$/),
    memory: fc.record({ totalBytes: fc.constant(1_000), availableBytes: fc.nat(1_000) }),
    workloads: fc.array(fc.record({ name: fc.constant('there'), labels }), { maxLength: 3 }),
    sessions: fc.nat(5),
  }),
  { selector: ({ node }) => node, maxLength: 4 },
);

/** What a node would have to hold, counted anew. */
function filled(guests: readonly Guest[], { moves }: Placements, host: Host) {
  const coming = guests.filter(({ name }) => moves.some(({ workload, to }) => workload === name && to === host.node));
  const bytes = coming.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const room = host.memory.availableBytes - memoryReserveShare * host.memory.totalBytes;
  const there = host.workloads.flatMap((one) => one.labels[antiAffinityLabel] ?? []);
  const groups = coming.flatMap((one) => one.labels[antiAffinityLabel] ?? []);
  return { bytes, room, there, groups };
}

t.test('every workload is placed once or named as not placed', async () => {
  fc.assert(
    fc.property(guests, hosts, fc.boolean(), (guests, hosts, ignoreAntiAffinity) => {
      const { moves, unplaced } = placeGuests(guests, hosts, { ignoreAntiAffinity });
      const names = [...moves, ...unplaced].map(({ workload }) => workload).sort();
      const wanted = guests.map(({ name }) => name).sort();
      if (names.join() !== wanted.join()) throw new Error(`${names} instead of ${wanted}`);
    }),
  );
});

t.test(
  'nothing is placed beyond the memory of a node less its reserve, or beside one it must be apart from',
  async (t) => {
    let full = 0;
    fc.assert(
      fc.property(guests, hosts, (guests, hosts) => {
        const placements = placeGuests(guests, hosts);
        for (const host of hosts) {
          const { bytes, room, there, groups } = filled(guests, placements, host);
          if (bytes > 0 && bytes > room) throw new Error(`${host.node} would hold ${bytes} of ${room}`);
          if (new Set(groups).size < groups.length) throw new Error(`two of a group at ${host.node}`);
          if (groups.some((group) => there.includes(group))) throw new Error(`${host.node} has one of the group`);
        }
        full += placements.unplaced.length;
      }),
    );
    t.ok(full > 0, 'there were workloads that fit nowhere');
  },
);

t.test('what is not placed fits nowhere, and the reason is the true one', async (t) => {
  const codes = new Set<string>();
  fc.assert(
    fc.property(guests, hosts, (guests, hosts) => {
      const placements = placeGuests(guests, hosts);
      for (const { workload, code } of placements.unplaced) {
        const guest = guests.find(({ name }) => name === workload);
        const group = guest?.labels[antiAffinityLabel];
        const apart = hosts.filter((host) => {
          const { there, groups } = filled(guests, placements, host);
          return group === undefined || ![...there, ...groups].includes(group);
        });
        const fits = apart.filter((host) => {
          const { bytes, room } = filled(guests, placements, host);
          return Math.max(0, room) - bytes >= (guest?.memoryBytes ?? 0);
        });
        if (fits.length > 0) throw new Error(`${workload} fits ${fits[0]?.node}`);
        if (code === 'anti-affinity' && apart.length > 0) throw new Error(`${workload} could be at ${apart[0]?.node}`);
        codes.add(code);
      }
    }),
    { numRuns: 500 },
  );
  t.strictSame([...codes].sort(), ['anti-affinity', 'no-memory']);
});

t.test('the same input in another order gives the same plan', async () => {
  const shuffled = fc.tuple(guests, hosts).chain(([guests, hosts]) =>
    fc.record({
      guests: fc.constant(guests),
      hosts: fc.constant(hosts),
      otherGuests: fc.shuffledSubarray(guests, { minLength: guests.length }),
      otherHosts: fc.shuffledSubarray(hosts, { minLength: hosts.length }),
    }),
  );
  fc.assert(
    fc.property(shuffled, ({ guests, hosts, otherGuests, otherHosts }) => {
      const one = JSON.stringify(placeGuests(guests, hosts));
      if (one !== JSON.stringify(placeGuests(otherGuests, otherHosts))) throw new Error(one);
    }),
  );
});

t.test('those with least at stake go first', async () => {
  fc.assert(
    fc.property(guests, hosts, (guests, hosts) => {
      const { moves } = placeGuests(guests, hosts);
      const order = moves.flatMap(({ workload }) => guests.find(({ name }) => name === workload) ?? []);
      for (const [index, guest] of order.slice(1).entries()) {
        const before = order[index];
        if (before !== undefined && compareStakes(before, guest) > 0)
          throw new Error(`${before.name} before ${guest.name}`);
      }
    }),
  );
});

t.test('equal workloads are spread evenly over equal nodes', async (t) => {
  const stakes = { sessions: 1, transactions: 1, callsInFlight: 0, waiters: 0 };
  const guests = Array.from({ length: 50 }, (_, index) => ({
    name: `w${index}`,
    memoryBytes: 10,
    labels: {},
    ...stakes,
  }));
  const memory = { totalBytes: 10_000, availableBytes: 9_000 };
  const hosts = ['node-b', 'node-c'].map((node) => ({ node, memory, workloads: [], sessions: 0 }));
  const { moves } = placeGuests(guests, hosts);
  t.equal(moves.filter(({ to }) => to === 'node-b').length, 25);
  t.equal(moves.filter(({ to }) => to === 'node-c').length, 25);
});

t.test('labels are disregarded when that is asked for', async (t) => {
  const labels = { [antiAffinityLabel]: 'orders' };
  const stakes = { sessions: 0, transactions: 0, callsInFlight: 0, waiters: 0 };
  const guest = { name: 'orders-1', memoryBytes: 1, labels, ...stakes };
  const memory = { totalBytes: 100, availableBytes: 90 };
  const hosts = [{ node: 'node-b', memory, workloads: [{ name: 'orders-2', labels }], sessions: 0 }];
  t.match(placeGuests([guest], hosts), { moves: [], unplaced: [{ workload: 'orders-1', code: 'anti-affinity' }] });
  t.match(placeGuests([guest], hosts, { ignoreAntiAffinity: true }), { moves: [{ to: 'node-b' }], unplaced: [] });
});
