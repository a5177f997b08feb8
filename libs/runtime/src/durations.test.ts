import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Durations } from './durations.ts';
import { createRegistry, Histogram } from './metrics.ts';

const NAMES = { name: 'call_seconds', help: 'Calls.' };
const BOUNDS_S = [0.001, 0.01, 0.5];
const label = fc.constantFrom('A', 'B', 'C');
const seconds = fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), fc.constantFrom(...BOUNDS_S));
const observations = fc.array(fc.tuple(label, label, seconds), { maxLength: 50 });

/** Everything that a registry tells, in an order that says nothing. */
async function told(registry: ReturnType<typeof createRegistry>): Promise<readonly string[]> {
  const text = await registry.getSingleMetricAsString(NAMES.name);
  return text.split('\n').map((line) => line.replace(/{(.*)}/, (_, labels: string) => labels.split(',').sort().join()));
}

/** What one process sends to another one of it; exemplars, which nobody sets, aside. */
async function sent(registry: ReturnType<typeof createRegistry>): Promise<unknown> {
  const { values = [], ...rest } = (await registry.getMetricsAsJSON()).find(({ name }) => name === NAMES.name) ?? {};
  const lines = values.map(({ labels, ...value }) => {
    const fields = Object.entries({ ...value, ...labels }).filter(([name]) => name !== 'exemplar');
    return JSON.stringify(fields.toSorted());
  });
  return { ...rest, values: lines.toSorted() };
}

test('a registry tells the same of it as of a histogram of prom-client', async () => {
  await fc.assert(
    fc.asyncProperty(observations, async (all) => {
      const [ours, theirs] = [createRegistry('test'), createRegistry('test')];
      const durations = new Durations(ours, { ...NAMES, labelNames: ['method', 'code'], boundsS: BOUNDS_S });
      const options = { ...NAMES, labelNames: ['method', 'code'], buckets: BOUNDS_S, registers: [theirs] };
      const histogram = new Histogram(options);
      for (const [method, code, took] of all) {
        durations.observe(method, code, took);
        histogram.observe({ method, code }, took);
      }
      expect((await told(ours)).toSorted()).toEqual((await told(theirs)).toSorted());
      expect(await sent(ours)).toEqual(await sent(theirs));
    }),
    { numRuns: 100 },
  );
});

test('a name is given once, and a reset forgets all', async () => {
  const registry = createRegistry('test');
  const options = { ...NAMES, labelNames: ['method', 'code'], boundsS: BOUNDS_S } as const;
  const durations = new Durations(registry, options);
  expect(() => new Durations(registry, options)).toThrow('already been registered');
  durations.observe('A', 'B', 1);
  registry.resetMetrics();
  expect(await told(registry)).toHaveLength(2);
});
