import { rmSync } from 'node:fs';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { SceneName } from './directed.ts';
import { TREE } from './fleet.ts';
import { MUTANTS, type Mutant, mutatedTree } from './mutants.ts';
import { playOn } from './test-scenes.ts';

/** The scene that shows each mistake, and the rule that it breaks there. */
const CAUGHT: Readonly<Record<Mutant, { readonly scene: SceneName; readonly rule: string }>> = {
  'no-lease': { scene: 'cut-off', rule: 'BY_START' },
  'no-wait': { scene: 'cut-off', rule: 'BY_START' },
  'no-recheck': { scene: 'read-under-way', rule: 'BY_DECISION' },
  'no-fill-guard': { scene: 'read-under-way', rule: 'BY_START' },
  'reply-anchor': { scene: 'late-reply', rule: 'BY_START' },
  'deaf-gateway': { scene: 'kicked', rule: 'STALE_SESSION' },
};

const DEADLINE_MS = 90_000;

// What is compiled of a copy that runs once would only fill the cache.
vi.stubEnv('NODE_COMPILE_CACHE', undefined);

it.each(MUTANTS)('a protocol with one safeguard less is caught: %s', { timeout: DEADLINE_MS }, async (mutant) => {
  const tree = mutatedTree(TREE, mutant);
  onTestFinished(() => rmSync(tree, { recursive: true }));
  const { scene, rule } = CAUGHT[mutant];
  const [result] = await playOn(tree, [scene]);
  expect(result?.broken).toContain(rule);
});
