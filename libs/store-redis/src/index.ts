export { RedisUrlError } from './address.ts';
export { openRedisStore, type RedisStoreOptions } from './redis-store.ts';
