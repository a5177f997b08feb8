import { expect, test } from 'vitest';
import { keepTickShape } from './tick-shape.ts';

test('what is kept is what Node makes for a tick, as other code would have it made', async () => {
  const kept = await keepTickShape();
  expect(Object.keys(kept)).toEqual(['callback', 'args']);
  expect(Object.getOwnPropertySymbols(kept)).not.toEqual([]);
});
