import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { whileUndecided } from './again.ts';
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
  const code = await system.stop();
  await place.remove();
  expect(code).toBe(0);
});

describe.for(EDGES)('over $name', ({ name, show, told }) => {
  test('a device that fails too often is throttled, and its neighbour behind the same address is not', async () => {
    const [flooded, neighbour] = [`${name}-flooded`, `${name}-neighbour`];
    for (const deviceId of [flooded, neighbour]) await register(system, deviceId, 'secret-number-1');
    // 20 are looked at, and one more every five seconds.
    const wrong = () => show(system, flooded, 'secret-number-2');
    const isTold = told.THROTTLED !== told.NO_DECISION; // over MQTT both are "come again"
    const flood = Array.from({ length: 40 }, () => (isTold ? whileUndecided(wrong, told.NO_DECISION) : wrong()));
    expect(new Set(await Promise.all(flood))).toEqual(new Set([told.REFUSED, told.THROTTLED]));
    const ask = () => show(system, neighbour, 'secret-number-1');
    expect(await whileUndecided(ask, told.NO_DECISION)).toBe(told.IN);
  });
});

describe.for(EDGES)('over $name', ({ name, show, told }) => {
  test.for(CASES.map((one, number) => ({ ...one, deviceId: `${name}-${number}` })))(
    '$name',
    async ({ steps, deviceId }, { onTestFailed }) => {
      onTestFailed(() => console.error(system.said()));
      for (const { does, shows } of steps) {
        await does?.(system, deviceId);
        for (const [secret, outcome] of shows) {
          const ask = () => show(system, deviceId, secret);
          expect(await (outcome === 'NO_DECISION' ? ask() : whileUndecided(ask, told.NO_DECISION))).toBe(told[outcome]);
        }
      }
    },
  );
});
