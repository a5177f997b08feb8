import { parseDeviceId } from '@latchkey/kernel';
import { expect, it } from 'vitest';
import { noteDecisions } from './decision-times.ts';

it('tells the time before the last look that found the lease to hold', async () => {
  let timeUs = 10n;
  let held = true;
  const asked: (string | undefined)[] = [];
  const lease = {
    holds: (deviceId?: string) => {
      timeUs += 1n; // the look itself takes time
      asked.push(deviceId);
      return held;
    },
    waitFor: async (deadlineMs: number) => deadlineMs === 5,
  };
  const noted = noteDecisions(lease, () => timeUs);
  const told = () => noted.trailers().get('latchkey-decided-at-us');
  const deviceId = parseDeviceId('d1');
  if (deviceId === undefined) throw new Error('no device id');

  expect(noted.lease.holds(deviceId)).toBe(true);
  expect(told()).toEqual(['10']);
  timeUs = 50n;
  held = false;
  expect(noted.lease.holds()).toBe(false);
  expect(told()).toEqual(['10']);
  held = true;
  expect(noted.lease.holds()).toBe(true);
  expect(told()).toEqual(['51']);
  expect(asked).toEqual(['d1', undefined, undefined]);
  expect(await noted.lease.waitFor(5)).toBe(true);
});
