import { crc32 } from 'node:zlib';
import { isTrustKey } from '@latchkey/credential';
import type { DeviceId } from '@latchkey/kernel';
import type { RecordKey } from '@latchkey/store';

/** Logs of a store in a Redis Cluster: enough to spread over any cluster of a sane size, few enough to follow all. */
export const CLUSTER_SHARDS = 16;

/** Hash slots of every Redis Cluster (Redis Cluster specification). */
export const SLOTS = 16_384;

/** The keys of one shard. All carry its hash tag, so they lie on one server and one function may touch them together. */
export type ShardKeys = {
  readonly shard: number;
  readonly tag: string;
  /** The hash slot of the tag. */
  readonly slot: number;
  /** Says which store this is: written once, looked at by every connection. */
  readonly store: string;
  /** The log of all changes to the shard's devices. */
  readonly log: string;
  /** Sorted set of the replicas that may have a lease, by the position that each last reported. */
  readonly members: string;
  /** Hash of members that seem gone, with the token of who suspects them. */
  readonly suspects: string;
  /** Written before a WAIT that is to speak of what others wrote; nobody reads it. */
  readonly confirmed: string;
  /** Sorted set of the device ids, for pages in their order. */
  readonly ids: string;
  /** Sorted set of the trust sets that there are; only in the first shard. */
  readonly trust: string;
  /** Sorted set of the devices that wait for their activation, by its deadline in ms. */
  readonly overdue: string;
};

/** The hash slot of a tag: its CRC-16/XMODEM modulo SLOTS (Redis Cluster specification, appendix A). */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc % SLOTS;
}

/** The smallest number whose slot is in the shard's equal part of all slots; loads split evenly when slots do. */
function tagFor(shard: number, shards: number): string {
  for (let number = 0; ; number++) {
    const tag = String(number);
    if (Math.floor((slotOf(tag) * shards) / SLOTS) === shard) return tag;
  }
}

function keysOf(shard: number, shards: number): ShardKeys {
  const tag = tagFor(shard, shards);
  const key = (name: string) => `lk:{${tag}}:${name}`;
  return {
    ...{ shard, tag, slot: slotOf(tag), store: shards === 1 ? 'lk:store' : key('store') },
    ...{
      log: key('log'),
      members: key('members'),
      suspects: key('suspects'),
      confirmed: key('confirmed'),
      ids: key('ids'),
      trust: key('trust'),
      overdue: key('overdue'),
    },
  };
}

/** The keys of all shards of a store: one in a single Redis, CLUSTER_SHARDS in a Cluster. */
export function layoutOf(shards: number): readonly ShardKeys[] {
  return Array.from({ length: shards }, (_, shard) => keysOf(shard, shards));
}

/** The shard of a record; that of all trust sets is the first one, so that one lease covers them. */
export function shardOf(key: RecordKey, shards: number): number {
  return shards === 1 || isTrustKey(key) ? 0 : crc32(key) % shards;
}

/** Where a record lies: a device's, or a trust set. */
export function recordKey({ tag }: ShardKeys, key: RecordKey): string {
  return `lk:{${tag}}:${isTrustKey(key) ? 't' : 'd'}:${key}`;
}

/** Where the answer to a repeated write lies. A device id has no colon, so no two pairs share a key. */
export function replayKey({ tag }: ShardKeys, deviceId: DeviceId, key: string): string {
  return `lk:{${tag}}:r:${deviceId}:${key}`;
}

/** Where a device's last uses lie (a trust set has none): a hash of its credentials, with the time of each one's last use in ms. */
export function usesKey({ tag }: ShardKeys, key: RecordKey): string {
  return `lk:{${tag}}:u:${key}`;
}

/** Where a kept value lies; all lie in the first shard. */
export function keptKey({ tag }: ShardKeys, name: string): string {
  return `lk:{${tag}}:k:${name}`;
}

/**
 * The channel of a shard's changes. Channels know no database number, so the store's id is part of it. It is a sharded
 * one (Redis 7.0): a plain one would send every change over the bus to every node of a Cluster. Both kinds are put into
 * the subscriber's buffer before the writer's own reply, so what is pushed comes before later replies on a connection.
 */
export function channelOf({ tag }: ShardKeys, storeId: string): string {
  return `lk:{${tag}}:changes:${storeId}`;
}
