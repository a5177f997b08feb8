export { entryText } from './entry.ts';
export { layoutOf, recordKey, type ShardKeys } from './keys.ts';
export { type RedisCluster, type RedisClusterOptions, startRedisCluster } from './redis-cluster.ts';
export { type RedisSentinel, type RedisSentinelOptions, startRedisSentinel } from './redis-sentinel.ts';
export { type RedisServer, type RedisServerOptions, startRedisServer } from './redis-server.ts';
export { type Proxy, startProxy } from './test-proxy.ts';
