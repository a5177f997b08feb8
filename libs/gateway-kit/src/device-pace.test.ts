import type { DeviceId } from '@latchkey/kernel';
import { expect, test } from 'vitest';
import { DevicePace, MESSAGES_A_SECOND } from './device-pace.ts';

const [ONE, OTHER] = ['one', 'other'] as DeviceId[] as [DeviceId, DeviceId];
let nowMs = 1_000;

function taken(pace: DevicePace, deviceId: DeviceId, messages: number): number {
  return Array.from({ length: messages }, () => pace.take(deviceId)).filter(Boolean).length;
}

test('a device has fifty at once and fifty in each second after, whatever others do', () => {
  const pace = new DevicePace(MESSAGES_A_SECOND, () => nowMs);
  expect([taken(pace, ONE, 200), taken(pace, OTHER, 10)]).toEqual([50, 10]);
  nowMs += 999;
  expect([taken(pace, ONE, 200), taken(pace, OTHER, 200)]).toEqual([49, 50]);
  nowMs += 60_000;
  expect(taken(pace, ONE, 200)).toBe(50);
});

test('no more devices are counted than there is room for', () => {
  const pace = new DevicePace({ burst: 1, intervalMs: 1_000 }, () => nowMs, 2);
  const devices = ['a', 'b', 'c'] as DeviceId[];
  expect(devices.map((deviceId) => pace.take(deviceId))).toEqual([true, true, true]);
  expect(['c', 'b', 'a'].map((deviceId) => pace.take(deviceId as DeviceId))).toEqual([false, false, true]);
});
