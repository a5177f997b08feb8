import { AggregatorRegistry, collectDefaultMetrics, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the registry of one process holds at a moment, to be sent to another process. */
export type MetricsSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** A registry with the process's own figures, the event loop's delay among them. Every series carries these labels. */
export function createRegistry(service: string, labels: Readonly<Record<string, string>> = {}): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service, ...labels });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** One page of several processes' metrics, whose labels tell them apart: nothing is summed up. */
export function mergeMetrics(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  // As sums, because prom-client leaves out what it cannot add; no two series are the same, so none is added.
  const summed = snapshots.map((metrics) => metrics.map((metric) => ({ ...metric, aggregator: 'sum' as const })));
  return AggregatorRegistry.aggregate(summed).metrics();
}
