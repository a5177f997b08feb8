import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { newPlace, STORES } from './place.ts';
import { ROAD } from './road.ts';
import { type Launched, launch } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe.concurrent.for(STORES)('over the %s store', (store) => {
  const ends: (() => Promise<void>)[] = [];
  let system: Launched;
  beforeAll(async () => {
    const place = await newPlace(store);
    ends.push(place.remove);
    system = await launch(place);
    ends.push(async () => expect(await system.stop()).toBe(0));
  });
  afterAll(async () => {
    for (const end of ends.toReversed()) await end();
  });

  test.for(ROAD)('$name', async ({ run }, { onTestFailed }) => {
    onTestFailed(() => console.error(system.said()));
    await run(system);
  });
});
