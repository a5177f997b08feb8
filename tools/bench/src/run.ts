import type { Findings } from './measure.ts';
import type { Plan, Suite } from './plan.ts';

/** What came of the suites of a run. */
export type Outcome = {
  readonly found: Readonly<Record<string, Findings>>;
  /** Messages of those that ended with an error. */
  readonly failed: Readonly<Record<string, string>>;
};

/** Runs these suites one after the other; one that fails does not keep the others from running. */
export async function runSuites(
  suites: readonly (readonly [name: string, suite: Suite])[],
  plan: Plan,
  onFound: (name: string, findings: Findings) => void = () => undefined,
): Promise<Outcome> {
  const found: Record<string, Findings> = {};
  const failed: Record<string, string> = {};
  for (const [index, [name, suite]] of suites.entries()) {
    const begunMs = performance.now();
    plan.say(`${name}: suite ${index + 1} of ${suites.length}`);
    try {
      found[name] = await suite(plan);
      onFound(name, found[name]);
      plan.say(`${name}: done in ${((performance.now() - begunMs) / 1_000).toFixed(0)} s`);
    } catch (error) {
      failed[name] = error instanceof Error ? error.message : String(error);
      plan.say(`${name}: failed: ${error instanceof Error ? error.stack : error}`);
    }
    // What a suite started is in the way of the next one's figures.
    await plan.processes.stop();
  }
  return { found, failed };
}
