import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConnectionLimits, subnetOf } from './connection-limits.ts';
import type { Limits } from './limits.ts';

function limited(more: Partial<Limits> = {}) {
  const limits = {
    connections: 100,
    sourceConnections: 100,
    sourceRate: 100,
    decisions: 1,
    loopDelayMs: 0,
    drainMs: 0,
    ...more,
  };
  const at = { nowMs: 0, sustainedMs: 0 };
  const refused: string[] = [];
  const metrics = { connectionsOpen: () => undefined, connectionRefused: (why: string) => void refused.push(why) };
  const delay = {
    get sustainedMs() {
      return at.sustainedMs;
    },
  };
  const connections = new ConnectionLimits({ limits, delay, monotonic: () => at.nowMs, metrics });
  return { connections, at, refused };
}

test('connections are bounded in all, and by source', () => {
  const { connections, refused } = limited({ connections: 4, sourceConnections: 3 });
  const leaves = ['a', 'a', 'a'].map((source) => connections.enter(source));
  expect(connections.enter('a')).toBeUndefined();
  expect(connections.enter('b')).toBeDefined();
  expect(connections.enter('b')).toBeUndefined();
  expect(refused).toEqual(['SOURCE', 'TOTAL']);
  leaves[0]?.();
  expect(connections.open).toBe(3);
  expect(connections.enter('a')).toBeDefined();
});

test('a source may come twice its rate at once, and its rate after that; others are not concerned', () => {
  const { connections, at, refused } = limited({ sourceRate: 10 });
  const come = (count: number, source = 'a') => {
    const let_in = Array.from({ length: count }, () => connections.enter(source)).filter(
      (leave) => leave !== undefined,
    );
    for (const leave of let_in) leave();
    return let_in.length;
  };
  expect(come(50)).toBe(20);
  expect(refused).toEqual(Array(30).fill('RATE'));
  expect(come(5, 'b')).toBe(5);
  at.nowMs = 500;
  expect(come(50)).toBe(5);
  at.nowMs = 600_000;
  expect(come(50)).toBe(20);
});

test('nobody new comes in while the loop is late for longer than it may be', () => {
  const { connections, at, refused } = limited({ loopDelayMs: 500 });
  at.sustainedMs = 500;
  expect(connections.enter('a')).toBeDefined();
  at.sustainedMs = 501;
  expect(connections.enter('a')).toBeUndefined();
  at.sustainedMs = 10;
  expect(connections.enter('a')).toBeDefined();
  expect(refused).toEqual(['BUSY']);
  const careless = limited({ loopDelayMs: 0 });
  careless.at.sustainedMs = 60_000;
  expect(careless.connections.enter('a')).toBeDefined();
});

test('what is open is what came in and has not left, whoever came', () => {
  const step = fc.record({ leaves: fc.boolean(), source: fc.constantFrom('a', 'b', 'c'), afterMs: fc.nat(30) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const { connections, at } = limited({ connections: 7, sourceConnections: 4, sourceRate: 100 });
      const open: { readonly source: string; readonly leave: () => void }[] = [];
      for (const { leaves, source, afterMs } of steps) {
        at.nowMs += afterMs;
        if (leaves) open.splice(open.findIndex((each) => each.source === source) >>> 0, 1)[0]?.leave();
        else {
          const leave = connections.enter(source);
          const own = open.filter((each) => each.source === source).length;
          if (open.length >= 7 || own >= 4) expect(leave).toBeUndefined();
          if (leave !== undefined) open.push({ source, leave });
        }
        expect(connections.open).toBe(open.length);
      }
    }),
    { numRuns: 300 },
  );
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['2001:db8:1::5:6:7:8', '2001:db8:1:0::/64'],
  ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
  ['', ''],
])('the source of %s is %s', (address, source) => {
  expect(subnetOf(address)).toBe(source);
});
