import { rmSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { play, SCENES, type SceneName, type SceneResult } from './directed.ts';
import { startFleet, TREE } from './fleet.ts';
import { MUTANTS, type Mutant, mutatedTree } from './mutants.ts';
import { startStandalone } from './servers.ts';

/** The scene that shows each mistake, and the rule that it breaks there. */
const CAUGHT: Readonly<Record<Mutant, { readonly scene: SceneName; readonly rule: string }>> = {
  'no-lease': { scene: 'cut-off', rule: 'BY_START' },
  'no-wait': { scene: 'cut-off', rule: 'BY_START' },
  'no-recheck': { scene: 'read-under-way', rule: 'BY_DECISION' },
  'no-fill-guard': { scene: 'read-under-way', rule: 'BY_START' },
  'reply-anchor': { scene: 'late-reply', rule: 'BY_START' },
  'deaf-gateway': { scene: 'kicked', rule: 'STALE_SESSION' },
};

/** Rounds of a scene: a mistake shows in the first, unless the machine is too busy for the scene's timing. */
const ROUNDS = 4;
const TEST_DEADLINE_MS = 90_000;

async function playOn(tree: string, scenes: readonly SceneName[]): Promise<readonly SceneResult[]> {
  const fleet = await startFleet({ tree, replicas: 2, gateways: 1, startServers: startStandalone });
  try {
    const results: SceneResult[] = [];
    for (const scene of scenes) results.push(await play(scene, fleet, ROUNDS));
    return results;
  } finally {
    await fleet.stop();
  }
}

describe('a protocol with one safeguard less', () => {
  it.each(MUTANTS)('is caught: %s', { timeout: TEST_DEADLINE_MS }, async (mutant) => {
    const tree = mutatedTree(TREE, mutant);
    onTestFinished(() => rmSync(tree, { recursive: true }));
    const { scene, rule } = CAUGHT[mutant];
    const [result] = await playOn(tree, [scene]);
    expect(result?.broken).toContain(rule);
  });
});

it('the protocol as it is keeps its promise in each scene', { timeout: 2 * TEST_DEADLINE_MS }, async () => {
  const scenes = Object.keys(SCENES) as SceneName[];
  for (const { broken, falseRejections, rounds, decisions } of await playOn(TREE, scenes)) {
    expect({ broken, falseRejections, rounds }).toEqual({ broken: [], falseRejections: [], rounds: ROUNDS });
    expect(decisions.filter(({ outcome }) => outcome === 'GRANTED').length).toBeGreaterThanOrEqual(ROUNDS);
  }
});
