import { status } from '@grpc/grpc-js';
import type { Decision, DenyReason } from '@latchkey/credential';
import type { Clock } from '@latchkey/kernel';
import type { CallObserver } from '@latchkey/rpc';
import { Counter, Durations, Gauge, Histogram, type Registry } from '@latchkey/runtime';
import type { Store } from '@latchkey/store';
import type { Verifier } from '@latchkey/verifier';

/** Counts decisions, and session secrets that were derived for DTLS handshakes. */
export type DecisionMetrics = {
  readonly count: (decision: Decision) => void;
  readonly derived: (named: boolean) => void;
};

type Outcome = 'GRANTED' | DenyReason;

/** Seconds: a decision from memory takes well under a millisecond, one that waits for a lost lease 0.7 s. */
const DURATION_BOUNDS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5];

/** Decisions by outcome: `granted`, or the reason of the denial. */
export function decisionMetrics(registry: Registry): DecisionMetrics {
  // Handed over when they are asked for: a counter with labels takes as long as a look into the cache.
  const counts = new Map<Outcome, number>();
  new Counter({
    name: 'latchkey_decisions_total',
    help: 'Decisions, by outcome: granted, or the reason of the denial.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [outcome, count] of counts) this.inc({ outcome: outcome.toLowerCase() }, count);
    },
  });
  const derivations = new Counter({
    name: 'latchkey_psk_derivations_total',
    help: 'Session secrets derived for DTLS handshakes, by identity: known, or unknown (it names no device).',
    labelNames: ['identity'],
    registers: [registry],
  });
  return {
    derived: (named) => derivations.inc({ identity: named ? 'known' : 'unknown' }),
    count: (decision) => {
      const outcome = decision.granted ? 'GRANTED' : decision.reason;
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    },
  };
}

/** Calls of gateways and operators, by method and status code. */
export function callMetrics(registry: Registry): CallObserver {
  const durations = new Durations(registry, {
    name: 'latchkey_call_duration_seconds',
    help: 'Duration of calls, by method and gRPC status code.',
    labelNames: ['method', 'code'],
    boundsS: DURATION_BOUNDS_S,
  });
  return ({ method, code, durationMs }) => durations.observe(method, status[code], durationMs / 1_000);
}

/** How many gateways watch, and how many ask by stream. */
export function gatewayGauges(
  registry: Registry,
  count: { readonly watchers: () => number; readonly streams: () => number },
): void {
  gauge(registry, 'latchkey_watchers', 'Open WatchChanges streams.', count.watchers);
  gauge(registry, 'latchkey_question_streams', 'Open AuthenticateStream streams.', count.streams);
}

/** How the record cache does. */
export function cacheMetrics(registry: Registry, verifier: Verifier): void {
  const lookups = new Counter({
    name: 'latchkey_record_lookups_total',
    help: 'Records looked up, by result: hit (in memory), miss (read from the store), join (waited for a read under way).',
    labelNames: ['result'],
    registers: [registry],
    collect() {
      this.reset();
      this.inc({ result: 'hit' }, verifier.stats.hits);
      this.inc({ result: 'miss' }, verifier.stats.misses);
      this.inc({ result: 'join' }, verifier.stats.joins);
    },
  });
  lookups.inc({ result: 'hit' }, 0);
  gauge(registry, 'latchkey_cached_records', 'Devices in memory.', () => verifier.size);
  gauge(
    registry,
    'latchkey_failing_devices',
    'Devices that have failed of late, counted by source.',
    () => verifier.failing,
  );
  gauge(registry, 'latchkey_untold_uses', 'Uses of credentials that the store is not told yet.', () => verifier.untold);
}

/** What the store tells of itself, one gauge a figure; which there are differs from store to store. */
export function storeMetrics(registry: Registry, store: Store): void {
  for (const name of Object.keys(store.figures())) {
    const help = FIGURES[name] ?? `The store's figure ${name}.`;
    gauge(registry, `latchkey_store_${name}`, help, () => store.figures()[name] ?? 0);
  }
}

/** Seconds: all replicas report within milliseconds, a full wait is 1 s, after a takeover it is `min-replicas-max-lag` + 3 s. */
const SETTLE_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.9, 1.1, 2.5, 5, 10, 20];

/**
 * The store with its barrier timed: from the moment that a write has been answered until no replica decides on what was
 * before, so that is how long a change takes to reach them all, as its writer sees it.
 */
export function timed(registry: Registry, store: Store, clock: Pick<Clock, 'monotonic'>): Store {
  const histogram = new Histogram({
    name: 'latchkey_store_settle_duration_seconds',
    help: 'Time from the answer to a write until no replica decides on what was before; outcome: settled or failed.',
    labelNames: ['outcome'],
    buckets: SETTLE_BUCKETS_S,
    registers: [registry],
  });
  const settled: Store['settled'] = async (deviceId, position) => {
    const sinceMs = clock.monotonic();
    let outcome = 'failed';
    try {
      await store.settled(deviceId, position);
      outcome = 'settled';
    } finally {
      histogram.observe({ outcome }, (clock.monotonic() - sinceMs) / 1_000);
    }
  };
  return { ...store, settled };
}

const FIGURES: Readonly<Record<string, string>> = {
  shards: 'Logs that the store has.',
  shards_connected: 'Logs whose server is connected.',
  leases_held:
    'Logs for whose devices this replica may decide; fewer than latchkey_store_shards: some get no decision.',
  log_position: 'Changes taken in since the store was made, over all logs.',
  heartbeats: 'Heartbeats answered, by log.',
  heartbeats_failed: 'Heartbeats that gave no lease.',
  lease_waits_failed: 'Decisions, by log, that waited for the lease and were refused because it did not come.',
  settled_early: 'Writes that all replicas reported in time.',
  settled_full: 'Writes that waited in full for a replica that did not report.',
  settle_last_ms: 'How long the last write waited for all replicas, milliseconds.',
  replicas_evicted: 'Replicas taken out because they had vanished.',
  writes_pending: 'Writes that wait for the disk.',
};

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
