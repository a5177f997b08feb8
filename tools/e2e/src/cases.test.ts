import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CASES } from './cases.ts';
import { EDGES } from './edges.ts';
import { register } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { type Launched, launch } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let place: Place;
let system: Launched;
beforeAll(async () => {
  place = await newPlace();
  system = await launch(place);
});
afterAll(async () => {
  expect(await system.stop()).toBe(0);
  await place.remove();
});

describe.for(EDGES)('over $name', ({ name, show, told }) => {
  test('a device that fails too often is throttled, and its neighbour behind the same address is not', async () => {
    const [flooded, neighbour] = [`${name}-flooded`, `${name}-neighbour`];
    for (const deviceId of [flooded, neighbour]) await register(system, deviceId, 'secret-number-1');
    // 20 are looked at, and one more every five seconds.
    const flood = Array.from({ length: 40 }, () => show(system, flooded, 'secret-number-2'));
    expect(new Set(await Promise.all(flood))).toEqual(new Set([told.REFUSED, told.THROTTLED]));
    expect(await show(system, neighbour, 'secret-number-1')).toBe(told.IN);
  });
});

describe.for(EDGES)('over $name', ({ name, show, told }) => {
  test.for(CASES.map((one, number) => ({ ...one, deviceId: `${name}-${number}` })))(
    '$name',
    async ({ steps, deviceId }, { onTestFailed }) => {
      onTestFailed(() => console.error(system.said()));
      for (const { does, shows } of steps) {
        await does?.(system, deviceId);
        for (const [secret, outcome] of shows) expect(await show(system, deviceId, secret)).toBe(told[outcome]);
      }
    },
  );
});
