import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRedisUrl } from './address.ts';
import { viewOf } from './cluster.ts';
import { command, device, heardBy, newKeyring, openOn, writeOf } from './fixture.ts';
import { CLUSTER_SHARDS, layoutOf, type ShardKeys, SLOTS, shardOf, slotOf } from './keys.ts';
import { type RedisCluster, startRedisCluster } from './redis-cluster.ts';
import type { RedisServer } from './redis-server.ts';

const keyring = newKeyring();
const RECOVERY = { timeout: 20_000, interval: 50 };
const layout = layoutOf(CLUSTER_SHARDS);
let cluster: RedisCluster;

beforeAll(async () => {
  cluster = await startRedisCluster();
});
afterAll(() => cluster.stop());

function keysAt(shard: number): ShardKeys {
  const keys = layout[shard];
  if (keys === undefined) throw new Error(`no shard ${shard}`);
  return keys;
}

function devicesIn(shard: number, count: number) {
  const names = Array.from({ length: 40 * count }, (_, number) => device(`d${number}`));
  return names.filter((name) => shardOf(name, CLUSTER_SHARDS) === shard).slice(0, count);
}

/** Gives a slot with all its keys to another node, as `redis-cli --cluster reshard` does. */
async function moved(slot: number, from: RedisServer, to: RedisServer): Promise<void> {
  const [fromId, toId] = await Promise.all([command(from, 'CLUSTER', 'MYID'), command(to, 'CLUSTER', 'MYID')]);
  await command(to, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', String(fromId));
  await command(from, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', String(toId));
  const keys = await command(from, 'CLUSTER', 'GETKEYSINSLOT', String(slot), '1000');
  const names = Array.isArray(keys) ? keys.map(String) : [];
  await command(from, 'MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...names);
  for (const node of [to, from]) await command(node, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', String(toId));
}

test('slots are those of Redis, and each shard has one in its own sixteenth', async () => {
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const tags = [...layout.map(({ tag }) => tag), '', 'a', '123456789', 'é'];
  const theirs = await Promise.all(tags.map((tag) => command(node, 'CLUSTER', 'KEYSLOT', tag)));
  expect(tags.map(slotOf)).toEqual(theirs);
  const parts = layout.map(({ slot }) => Math.floor(slot / (SLOTS / CLUSTER_SHARDS)));
  expect(parts).toEqual(layout.map((_, shard) => shard));
  expect(new Set(layout.map(({ tag }) => tag)).size).toBe(CLUSTER_SHARDS);
});

test('a shard that moves to another node goes on there: nothing is missed, the others hear nothing of it', async () => {
  const [store, writer] = await Promise.all([openOn(cluster, keyring), openOn(cluster, keyring)]);
  const heard = heardBy(store);
  const [one, two] = devicesIn(0, 2);
  const [other] = devicesIn(15, 1);
  if (one === undefined || two === undefined || other === undefined) throw new Error('no devices');
  const { revision } = await writer.write(writeOf(one));
  await writer.write(writeOf(other));
  const { slot } = keysAt(0);
  const from = await cluster.primaryOf(slot);
  const to = await cluster.primaryOf(keysAt(15).slot);
  await moved(slot, from, to);
  const write = () => writer.write(writeOf(two)).catch(() => undefined);
  await expect.poll(write, RECOVERY).toEqual({ outcome: 'WRITTEN', revision: revision + 1 });
  await expect.poll(() => store.read(one).catch(() => undefined), RECOVERY).toMatchObject({ deviceId: one, revision });
  await expect.poll(() => [store.lease.holds(one), store.lease.holds()], RECOVERY).toEqual([true, true]);
  await expect.poll(() => heard.map((change) => change?.key)).toEqual([one, other, two]);
  for (const each of [store, writer]) {
    const all = { shards: 16, shards_connected: 16, leases_held: 16 };
    await expect.poll(() => each.figures(), RECOVERY).toMatchObject(all);
  }
  await Promise.all([store.close(), writer.close()]);
  const members = await Promise.all(
    layout.map(async (keys) => command(await cluster.primaryOf(keys.slot), 'EXISTS', keys.members)),
  );
  expect(members).toEqual(layout.map(() => 0));
});

test('while a slot is given away its own shard alone has no lease', async () => {
  const store = await openOn(cluster, keyring);
  const [mine] = devicesIn(7, 1);
  if (mine === undefined) throw new Error('no device');
  await store.write(writeOf(mine));
  const { slot, log } = keysAt(7);
  const from = await cluster.primaryOf(slot);
  const to = (await cluster.primaries()).find((node) => node !== from);
  if (to === undefined) throw new Error('no other node');
  const [fromId, toId] = await Promise.all([command(from, 'CLUSTER', 'MYID'), command(to, 'CLUSTER', 'MYID')]);
  await command(to, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', String(fromId));
  await command(from, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', String(toId));
  await command(from, 'MIGRATE', '127.0.0.1', String(to.port), log, '0', '5000');
  await expect.poll(() => store.figures()['leases_held'], { timeout: 20_000 }).toBe(15);
  expect(store.lease.holds(mine)).toBe(false);
  expect(store.lease.holds()).toBe(false);
  await expect(store.write(writeOf(mine))).rejects.toThrow(/TRYAGAIN|ASK/);
  await command(to, 'CLUSTER', 'SETSLOT', String(slot), 'STABLE');
  await command(from, 'CLUSTER', 'SETSLOT', String(slot), 'STABLE');
  await store.close();
});

test('a shard without a server has no address, and a node that does not know its host is where it was asked', () => {
  const asked = parseRedisUrl('rediss://:x@asked:7000');
  const reply = [
    [0, 99, ['', 7001, 'id', []], ['replica', 7002, 'id', []]],
    [100, 200, ['other', 7003, 'id', []]],
  ];
  expect(viewOf(reply, [0, 150, 201], asked)).toEqual([
    { address: { ...asked, port: 7001 }, replicas: 1 },
    { address: { ...asked, host: 'other', port: 7003 }, replicas: 0 },
    undefined,
  ]);
  expect(viewOf('nonsense', [0], asked)).toEqual([undefined]);
});
