import { expect, it } from 'vitest';
import { SCENES, type SceneName } from './directed.ts';
import { TREE } from './fleet.ts';
import { playOn, ROUNDS } from './test-scenes.ts';

/** All scenes one after the other, on a machine that is busy with other tests. */
const DEADLINE_MS = 240_000;

it('the protocol as it is keeps its promise in each scene', { timeout: DEADLINE_MS }, async () => {
  const scenes = Object.keys(SCENES) as SceneName[];
  for (const { broken, falseRejections, rounds, decisions } of await playOn(TREE, scenes)) {
    expect({ broken, falseRejections, rounds }).toEqual({ broken: [], falseRejections: [], rounds: ROUNDS });
    expect(decisions.filter(({ outcome }) => outcome === 'GRANTED').length).toBeGreaterThanOrEqual(ROUNDS);
  }
});
