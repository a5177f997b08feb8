import { createLog, createRegistry } from '@latchkey/runtime';
import { expect, test } from 'vitest';
import { drainSessions } from './drain.ts';
import { gatewayMetrics } from './metrics.ts';
import { RecentClosings } from './recent-closings.ts';
import { SessionTable } from './sessions.ts';

function table(count: number) {
  const monotonic = () => 0;
  const metrics = gatewayMetrics(createRegistry('test'), { sessionsOpen: () => 0, monotonic });
  const log = createLog({ service: 'test', level: 'error' });
  const sessions = new SessionTable({ closings: new RecentClosings(monotonic), metrics, log });
  const closed: { readonly deviceId: string; readonly turn: number }[] = [];
  let turn = 0;
  const turns = setInterval(() => turn++, 1);
  const open = (deviceId: string, hook: () => void = () => undefined) => {
    const close = (cause: string) => {
      expect(cause).toBe('STOPPING');
      closed.push({ deviceId, turn });
      hook();
    };
    const grant = { credentialId: 'c', revision: 1n, byCertificate: false, basis: new Uint8Array() };
    sessions.register({ deviceId, ...grant, close }, 0);
  };
  for (let number = 0; number < count; number++) open(`d${number}`);
  return { sessions, closed, open, end: () => clearInterval(turns) };
}

test('sessions are closed in small groups, each once, in their order', async () => {
  const { sessions, closed, end } = table(1_000);
  await drainSessions(sessions, 200);
  end();
  expect(sessions.size).toBe(0);
  expect(closed.map(({ deviceId }) => deviceId)).toEqual(Array.from({ length: 1_000 }, (_, number) => `d${number}`));
  const groups = Map.groupBy(closed, ({ turn }) => turn);
  expect(Math.max(...[...groups.values()].map(({ length }) => length))).toBeLessThan(100);
});

test('few sessions take no time, and none takes none', async () => {
  const { sessions, closed, end } = table(5);
  const all = drainSessions(sessions, 60_000);
  expect(closed).toHaveLength(5);
  await all;
  await drainSessions(sessions, 60_000);
  end();
});

test('a session that opens meanwhile is closed as well', async () => {
  const { sessions, closed, open, end } = table(0);
  open('first', () => open('late'));
  for (let number = 0; number < 50; number++) open(`d${number}`);
  await drainSessions(sessions, 60_000);
  end();
  expect(sessions.size).toBe(0);
  expect(closed.map(({ deviceId }) => deviceId)).toContain('late');
});
