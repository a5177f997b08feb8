import { createLog, createRegistry } from '@latchkey/runtime';
import { expect, test } from 'vitest';
import { gatewayMetrics } from './metrics.ts';
import { RecentClosings } from './recent-closings.ts';
import { type CloseCause, type Session, SessionTable } from './sessions.ts';

let nowMs = 0;
const monotonic = () => nowMs;

function table(maxClosings?: number) {
  const closings = new RecentClosings(monotonic, maxClosings);
  const registry = createRegistry('test');
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => 0, monotonic });
  const log = createLog({ service: 'test', level: 'error', to: { write: () => undefined } });
  return { closings, registry, sessions: new SessionTable({ closings, metrics, log }) };
}

function session(deviceId: string, more: Partial<Session> = {}): Session & { readonly closed: CloseCause[] } {
  const closed: CloseCause[] = [];
  const close = (cause: CloseCause) => closed.push(cause);
  return {
    deviceId,
    credentialId: 'c',
    revision: 1n,
    byCertificate: false,
    basis: new Uint8Array(),
    close,
    ...more,
    closed,
  };
}

test('sessions are found by device, oldest first, and forgotten once', () => {
  const { sessions } = table();
  const [first, second, other] = [session('a'), session('a'), session('b')];
  for (const each of [first, second, other]) expect(sessions.register(each, 0)).toBe(true);
  expect(sessions.ofDevice('a')).toEqual([first, second]);
  expect(sessions.size).toBe(3);
  sessions.remove(first);
  sessions.remove(first);
  expect(sessions.ofDevice('a')).toEqual([second]);
  expect(sessions.size).toBe(2);
  expect(sessions.has(first)).toBe(false);
});

test('a session is closed once, and one that cannot be closed does not keep the others open', async () => {
  const { registry, sessions } = table();
  const broken = session('a', {
    close: () => {
      throw new Error('stuck');
    },
  });
  const sound = session('a');
  sessions.register(broken, 0);
  sessions.register(sound, 0);
  sessions.close([broken, sound], 'DEVICE');
  sessions.close([broken, sound], 'CREDENTIAL');
  expect(sound.closed).toEqual(['DEVICE']);
  expect(sessions.size).toBe(0);
  expect(await registry.metrics()).toMatch(/sessions_closed_total\{cause="DEVICE",service="test"\} 2/);
});

test('a session that a closing overtook does not open', () => {
  const { closings, sessions } = table();
  closings.closeDevice('a', 5n);
  closings.closeDevice('a', 4n);
  expect(sessions.register(session('a', { revision: 4n }), 0)).toBe(false);
  expect(sessions.size).toBe(0);
  expect(sessions.register(session('a', { revision: 5n }), 0)).toBe(true);
  expect(sessions.register(session('b', { revision: 4n }), 0)).toBe(true);
});

test('a session of a retired credential does not open, whatever its revision', () => {
  const { closings, sessions } = table();
  closings.closeCredential('gone');
  expect(sessions.register(session('a', { credentialId: 'gone', revision: 99n }), 0)).toBe(false);
  expect(sessions.register(session('a', { credentialId: 'kept' }), 0)).toBe(true);
});

test('a doubt concerns the sessions that were asked for before it', () => {
  const { closings, sessions } = table();
  nowMs = 1000;
  closings.doubt(({ byCertificate }) => byCertificate);
  expect(sessions.register(session('a', { byCertificate: true }), 999)).toBe(false);
  expect(sessions.register(session('a', { byCertificate: false }), 999)).toBe(true);
  expect(sessions.register(session('a', { byCertificate: true }), 1001)).toBe(true);
});

test('many doubts in a short time become one that concerns everybody', () => {
  const { closings } = table();
  nowMs = 2000;
  for (let count = 0; count < 200; count++) closings.doubt(() => false);
  expect(closings.allow(session('a'), 1999)).toBe(false);
  expect(closings.allow(session('a'), 2001)).toBe(true);
});

test('closings are forgotten by age', () => {
  const { closings } = table();
  nowMs = 10_000;
  closings.closeDevice('a', 5n);
  nowMs = 29_999;
  closings.closeDevice('b', 5n);
  expect(closings.allow(session('a'), nowMs + 1)).toBe(false);
  nowMs = 30_000;
  closings.closeDevice('c', 5n);
  expect(closings.allow(session('a'), nowMs + 1)).toBe(true);
  expect(closings.allow(session('b'), nowMs + 1)).toBe(false);
});

test('a closing that is forgotten too early puts in doubt what was asked for before', () => {
  const { closings } = table(2);
  nowMs = 40_000;
  for (const id of ['a', 'b', 'c']) closings.closeDevice(id, 5n);
  expect(closings.allow(session('a'), 39_999)).toBe(false);
  expect(closings.allow(session('x'), 39_999)).toBe(false);
  expect(closings.allow(session('x'), 40_001)).toBe(true);
});

test('a doubt is overdue once, when no replica can be behind it any more', () => {
  const { closings } = table();
  nowMs = 50_000;
  closings.doubt(({ byCertificate }) => byCertificate);
  nowMs = 50_001;
  closings.doubt(({ deviceId }) => deviceId === 'a');
  expect(closings.overdue()).toBeUndefined();
  nowMs = 70_000;
  const first = closings.overdue();
  expect([first?.(session('a')), first?.(session('b', { byCertificate: true }))]).toEqual([false, true]);
  expect(closings.overdue()).toBeUndefined();
  nowMs = 70_001;
  const second = closings.overdue();
  expect([second?.(session('a')), second?.(session('b', { byCertificate: true }))]).toEqual([true, false]);
  expect(closings.overdue()).toBeUndefined();
});
