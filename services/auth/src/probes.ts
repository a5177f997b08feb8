import { mergeMetrics, type Registry } from '@latchkey/runtime';
import type { Seat } from './workers/seat.ts';

/** What `/healthz` and `/metrics` say. Never reject. */
export type Probes = {
  readonly healthy: () => boolean | Promise<boolean>;
  readonly metrics: () => Promise<string>;
  readonly contentType: string;
};

/** Of one process that stands alone, or of all workers: whichever of them is asked, the answer is for all. */
export function probesOf(registry: Registry, decides: () => boolean, seat: Seat | undefined): Probes {
  const { contentType } = registry;
  if (seat === undefined) return { healthy: decides, metrics: () => registry.metrics(), contentType };
  seat.tell({ HEALTH: decides, METRICS: () => registry.getMetricsAsJSON() });
  return {
    // One that decides is enough: gateways go to that one, and a watchdog that ended all would make it worse.
    healthy: async () => (await seat.all('HEALTH')).includes(true),
    metrics: async () => mergeMetrics(await seat.all('METRICS')),
    contentType,
  };
}
