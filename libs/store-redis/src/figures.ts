import type { Figures } from '@latchkey/store';
import type { Shard } from './shard.ts';

/** What the store tells of itself, over all shards. */
export function figuresOf(shards: readonly Shard[]): Figures {
  const sum = (read: (shard: Shard) => number) => shards.reduce((total, shard) => total + read(shard), 0);
  const one = (name: keyof Shard['lease']['figures']) => sum(({ lease }) => lease.figures[name]);
  return {
    shards: shards.length,
    shards_connected: sum(({ current }) => (current === undefined ? 0 : 1)),
    leases_held: sum(({ lease }) => (lease.holds() ? 1 : 0)),
    log_position: sum(({ feed }) => feed.place.position),
    heartbeats: one('heartbeats'),
    heartbeats_failed: one('failedHeartbeats'),
    lease_waits_failed: one('failedWaits'),
    settled_early: one('settledEarly'),
    settled_full: one('settledFull'),
    settle_last_ms: Math.max(...shards.map(({ lease }) => lease.figures.lastSettleMs)),
    replicas_evicted: one('evicted'),
  };
}
