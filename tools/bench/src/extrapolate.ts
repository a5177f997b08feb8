/** Figures that the arithmetic rests on, by name: where each is measured, and what it is. */
export const PRICES = {
  warmUs: {
    suite: 'stream',
    figure: 'stream_server_cpu_us_per_decision',
    what: 'CPU of an auth process for a decision by stream, record cached, µs',
  },
  missUs: {
    suite: 'cold',
    figure: 'cold_cpu_us_per_decision',
    what: 'CPU of an auth process for a decision in process, nothing cached, µs',
  },
  readRedisUs: {
    suite: 'cold',
    figure: 'redis_get_redis_cpu_us',
    what: 'CPU of Redis for a GET of a record, µs; reads that share a round trip cost it less',
  },
  useRedisUs: { suite: 'cold', figure: 'use_redis_cpu_us', what: 'CPU of Redis for a last use told, µs' },
  cachedBytes: { suite: 'memory', figure: 'cached_bytes_per_device', what: 'a device in the cache, bytes' },
  recordBytes: { suite: 'memory', figure: 'redis_record_bytes_per_device', what: 'its record in Redis, bytes' },
  indexBytes: { suite: 'memory', figure: 'redis_index_bytes_per_device', what: 'its place in the index, bytes' },
  usageBytes: { suite: 'memory', figure: 'redis_usage_bytes_per_device', what: 'its last uses, bytes' },
  beatUs: {
    suite: 'replicas',
    figure: 'replica_idle_redis_cpu_us_per_s',
    what: 'CPU of Redis for the heartbeats of a replica, µs in a second',
  },
  changeUs: {
    suite: 'replicas',
    figure: 'change_redis_cpu_us',
    what: 'CPU of Redis for a change with one replica, µs',
  },
  changeReplicaUs: {
    suite: 'replicas',
    figure: 'change_and_replica_redis_cpu_us_busy',
    what: 'and for each replica more, many changes under way, µs',
  },
  watcherUs: {
    suite: 'replicas',
    figure: 'change_and_watcher_cpu_us',
    what: 'CPU of an auth process for telling a gateway of a change, µs',
  },
} as const;

/** The figures, by the names above. */
export type Prices = Readonly<Record<keyof typeof PRICES, number>>;

/** What is to be served. */
export type Goal = {
  readonly devices: number;
  readonly decisionsPerS: number;
  /** Of the decisions, those whose record is in memory, of 1. */
  readonly hitShare: number;
  /** Changes of devices: resets, activations, first uses. */
  readonly changesPerS: number;
};

/** Of a core, or of a Redis, so much is to be in use: the rest is for bursts, and for those that fail. */
export const LOAD = 0.5;

/** Devices that a gateway process holds, by default at most. */
export const DEVICES_PER_GATEWAY = 100_000;

/** Memory of a Redis primary in use: a fork for its append-only file and a restart should stay bearable. */
export const PRIMARY_BYTES = 16 * 2 ** 30;

/** Logs of a store in a Cluster: no more primaries than these can share the work. */
export const MAX_PRIMARIES = 16;

/** What it takes. Cores are cores in full use; processes and primaries are at LOAD. */
export type Needs = {
  readonly authCores: number;
  readonly authProcesses: number;
  /** All devices in the cache of one process; each asks any of them. */
  readonly wholeCacheBytes: number;
  readonly readCores: number;
  readonly useCores: number;
  readonly beatCores: number;
  readonly changeCores: number;
  readonly redisBytes: number;
  readonly primaries: number;
  readonly gateways: number;
  readonly watchCores: number;
  /** All devices reconnect with nothing cached: until all have a decision, with all these processes in full use. */
  readonly reconnectS: number;
};

const CORE_US = 1e6;

/** Carries the figures on to a goal. */
export function needsOf(prices: Prices, { devices, decisionsPerS, hitShare, changesPerS }: Goal): Needs {
  const missesPerS = decisionsPerS * (1 - hitShare);
  // What a miss costs beyond the stream's part holds the verification once more: this errs to the dear side.
  const coldUs = prices.warmUs + prices.missUs;
  const gateways = Math.ceil(devices / DEVICES_PER_GATEWAY);
  const watchCores = (changesPerS * gateways * prices.watcherUs) / CORE_US;
  const authCores = (decisionsPerS * prices.warmUs + missesPerS * prices.missUs) / CORE_US;
  const authProcesses = Math.ceil((authCores + watchCores) / LOAD);
  const readCores = (missesPerS * prices.readRedisUs) / CORE_US;
  // Devices that come less than once a minute make every decision a use to be told.
  const useCores = (decisionsPerS * prices.useRedisUs) / CORE_US;
  const changeCores = (changesPerS * (prices.changeUs + authProcesses * prices.changeReplicaUs)) / CORE_US;
  const redisBytes = devices * (prices.recordBytes + prices.indexBytes + prices.usageBytes);
  const sharedCores = readCores + useCores + changeCores;
  const primaries = Math.max(1, Math.ceil(sharedCores / LOAD), Math.ceil(redisBytes / PRIMARY_BYTES));
  return {
    ...{ authCores, authProcesses, readCores, useCores, changeCores, redisBytes, primaries, gateways, watchCores },
    wholeCacheBytes: devices * prices.cachedBytes,
    // Every replica sends its heartbeats to every primary.
    beatCores: (authProcesses * primaries * prices.beatUs) / CORE_US,
    reconnectS: (devices * coldUs) / CORE_US / authProcesses,
  };
}
