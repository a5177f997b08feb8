import { expect, test } from 'vitest';
import { whatLacks } from './room.ts';

test('a fleet that does not fit is left out with the reason', () => {
  const room = { memoryBytes: 2 ** 32, diskBytes: 2 ** 32 };
  expect(whatLacks(1_000_000, room)).toBeUndefined();
  expect(whatLacks(10_000_000, room)).toBe('it takes 9.3 GiB of memory, and 4.0 GiB are left');
  expect(whatLacks(10_000_000, { ...room, memoryBytes: 2 ** 34 })).toMatch(/^it takes 9\.3 GiB of disk in .*4\.0 GiB/);
});
