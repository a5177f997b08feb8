import { setTimeout as pause } from 'node:timers/promises';
import { NO_REVISION, type Revision, systemClock, systemRandom } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, device, newKeyring, openOn, writeOf } from './fixture.ts';
import { layoutOf, shardOf } from './keys.ts';
import { type RedisCluster, startRedisCluster } from './redis-cluster.ts';
import { type RedisSentinel, startRedisSentinel, until, untilReplicated } from './redis-sentinel.ts';
import { openRedisStore } from './redis-store.ts';

const keyring = newKeyring();
const RECOVERY = { timeout: 50_000, interval: 50 };
/** Several recoveries on a busy machine. */
const DEADLINE_MS = 180_000;
/** So many writes and reads show that the load is on. */
const BEGUN = 20;
/** An old primary without replicas refuses writes after this time; the sentinels wait for longer. */
const FENCE = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '2'];

/**
 * One writer a device, as fast as it can. `wrong` names what no reader may see: a revision older than was acknowledged when
 * the read began, or, where writes are settled as the service does, than was settled then.
 */
function underLoad(writer: Store, reader: Store, names: readonly string[], settles = false) {
  const acknowledged = new Map<string, Revision>();
  const settled = new Map<string, Revision>();
  const wrong: string[] = [];
  const counts = { written: 0, refused: 0, read: 0 };
  let over = false;
  const writing = async (name: string) => {
    while (!over) {
      const record = await writer.read(device(name)).catch(() => undefined);
      const before = record?.revision ?? NO_REVISION;
      const result = await writer.write(writeOf(device(name), before)).catch(() => undefined);
      if (result?.outcome === 'WRITTEN') {
        const { revision } = result;
        acknowledged.set(name, revision);
        counts.written += 1;
        const settling = settles ? writer.settled(device(name), revision) : Promise.resolve();
        await settling.then(
          () => settled.set(name, revision),
          () => undefined,
        );
      } else {
        counts.refused += 1;
        await pause(20);
      }
    }
  };
  const reading = async (name: string) => {
    while (!over) {
      const least = settled.get(name) ?? 0;
      const seen = await reader.read(device(name)).catch(() => undefined);
      // A decision needs the lease at its moment.
      if (seen !== undefined && reader.lease.holds(device(name))) {
        counts.read += 1;
        if (seen.revision < least) wrong.push(`${name}: ${seen.revision} after ${least}`);
      }
      await pause(5);
    }
  };
  const done = Promise.all(names.flatMap((name) => [writing(name), reading(name)]));
  return {
    counts,
    wrong,
    acknowledged,
    begun: () => expect.poll(() => Math.min(counts.written, counts.read), RECOVERY).toBeGreaterThan(BEGUN),
    end: async () => {
      over = true;
      await done;
    },
  };
}

/** The devices whose acknowledged revision is gone; a read that is not answered, as slots may still move, is asked again. */
async function lost(store: Store, acknowledged: ReadonlyMap<string, Revision>): Promise<readonly string[]> {
  const found = [...acknowledged].map(async ([name, least]) => {
    const { record } = await until(`a read of ${name}`, async () => ({ record: await store.read(device(name)) }));
    return (record?.revision ?? 0) < least ? [name] : [];
  });
  return (await Promise.all(found)).flat();
}

describe('a master with sentinels', () => {
  let sentinel: RedisSentinel;
  let stores: readonly [Store, Store];
  beforeAll(async () => {
    sentinel = await startRedisSentinel({ args: FENCE });
    stores = [await openOn(sentinel, keyring), await openOn(sentinel, keyring)];
  }, DEADLINE_MS);
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await sentinel.stop();
  });

  test(
    'the master is killed under load: no acknowledged write is lost, no read is stale, both recover',
    async () => {
      const [writer, reader] = stores;
      const old = await sentinel.master();
      const load = underLoad(writer, reader, ['a', 'b', 'c', 'd']);
      await load.begun();
      const next = await sentinel.failover();
      await expect.poll(() => stores.map((store) => store.lease.holds()), RECOVERY).toEqual([true, true]);
      const after = load.counts.written;
      await expect.poll(() => load.counts.written, RECOVERY).toBeGreaterThan(after + 20);
      await load.end();
      expect(next.port).not.toBe(old.port);
      expect(load.wrong).toEqual([]);
      expect(await lost(reader, load.acknowledged)).toEqual([]);
      await old.restart();
      await expect.poll(async () => String(await command(old, 'ROLE')), RECOVERY).toContain('slave');
      await untilReplicated(next, 2);
    },
    DEADLINE_MS,
  );

  test(
    'a master whose replicas hang acknowledges nothing, and grants no lease after a while',
    async () => {
      const [writer] = stores;
      const master = await sentinel.master();
      const replicas = sentinel.servers.filter((server) => server !== master);
      await expect.poll(() => writer.lease.holds(), RECOVERY).toBe(true);
      for (const replica of replicas) replica.signal('SIGSTOP');
      try {
        await expect(writer.write(writeOf(device('e')))).rejects.toThrow(/0 of [12] Redis replicas|NOREPLICAS/);
        await expect.poll(() => writer.lease.holds(), { timeout: 20_000 }).toBe(false);
      } finally {
        for (const replica of replicas) replica.signal('SIGCONT');
      }
      await expect.poll(() => writer.lease.holds(), RECOVERY).toBe(true);
      const again = async () => (await writer.write(writeOf(device('f')))).outcome;
      await expect.poll(() => again().catch(() => undefined), RECOVERY).toBe('WRITTEN');
    },
    DEADLINE_MS,
  );

  test(
    'a master is replaced by force while it works, and then killed: nothing is lost or stale',
    async () => {
      const [writer, reader] = stores;
      const old = await sentinel.master();
      await expect.poll(() => stores.map((store) => store.lease.holds()), RECOVERY).toEqual([true, true]);
      const load = underLoad(writer, reader, ['g', 'h', 'i', 'j'], true);
      const reasons: unknown[] = [];
      const log = (_: string, { reason }: Readonly<Record<string, unknown>>) => reasons.push(reason);
      const { url } = sentinel;
      const third = await openRedisStore({ url, keyring, clock: systemClock, random: systemRandom, log });
      await expect.poll(() => load.counts.written, RECOVERY).toBeGreaterThan(50);
      const next = await sentinel.forced();
      const after = load.counts.written;
      // The old one works on, and would go on to serve whoever stays.
      await expect.poll(() => reasons, RECOVERY).toContain('the sentinels name another master');
      await old.kill();
      await expect.poll(() => load.counts.written, RECOVERY).toBeGreaterThan(after + 50);
      await Promise.all([load.end(), third.close()]);
      expect(next.port).not.toBe(old.port);
      expect(load.counts.read).toBeGreaterThan(50);
      expect(load.wrong).toEqual([]);
      expect(await lost(reader, load.acknowledged)).toEqual([]);
    },
    DEADLINE_MS,
  );
});

describe('a Cluster', () => {
  let cluster: RedisCluster;
  let stores: readonly [Store, Store];
  const layout = layoutOf(16);
  /** Devices of one of sixteen shards each. */
  const names = layout.map(({ shard }) => nameIn(shard));
  beforeAll(async () => {
    cluster = await startRedisCluster();
    stores = [await openOn(cluster, keyring), await openOn(cluster, keyring)];
  }, DEADLINE_MS);
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await cluster.stop();
  });

  function nameIn(shard: number): string {
    const numbers = Array.from({ length: 1_000 }, (_, number) => `device-${number}`);
    return numbers.find((name) => shardOf(device(name), 16) === shard) ?? '';
  }

  test('every primary has shards, and a write to each is heard by the other store', async () => {
    const [writer, reader] = stores;
    const owners = await Promise.all(layout.map(({ slot }) => cluster.primaryOf(slot)));
    expect(new Set(owners).size).toBe(3);
    const heard: number[] = [];
    const end = reader.listen({ changed: ({ shard }) => heard.push(shard), lost: () => heard.push(-1) });
    const results = await Promise.all(names.map((name) => writer.write(writeOf(device(name)))));
    await expect.poll(() => heard.toSorted((a, b) => a - b)).toEqual(layout.map(({ shard }) => shard));
    end();
    expect(results.map(({ revision }) => revision)).toEqual(names.map(() => 1));
  });

  test(
    'slots are handed over under load: nothing is lost or stale, and all recover',
    async () => {
      const [writer, reader] = stores;
      const load = underLoad(writer, reader, names);
      await load.begun();
      const slot = layout[0]?.slot ?? 0;
      const old = await cluster.primaryOf(slot);
      const next = await cluster.failover(old);
      const during = load.counts.written;
      await expect.poll(() => load.counts.written, RECOVERY).toBeGreaterThan(during + 100);
      await expect.poll(() => stores.map((store) => store.lease.holds()), RECOVERY).toEqual([true, true]);
      await load.end();
      expect(next.port).not.toBe(old.port);
      expect(load.wrong).toEqual([]);
      expect(await lost(reader, load.acknowledged)).toEqual([]);
    },
    DEADLINE_MS,
  );

  test.each(['FORCE', 'TAKEOVER'] as const)(
    'a replica takes over by %s while its primary works: nothing is lost or stale',
    async (how) => {
      const [writer, reader] = stores;
      const slot = layout[0]?.slot ?? 0;
      const old = await cluster.primaryOf(slot);
      await untilReplicated(old, 1);
      await expect.poll(() => stores.map((store) => store.lease.holds()), RECOVERY).toEqual([true, true]);
      const load = underLoad(writer, reader, names);
      await load.begun();
      const next = await cluster.failover(old, how);
      const during = load.counts.written;
      await expect.poll(() => load.counts.written, RECOVERY).toBeGreaterThan(during + 100);
      await expect.poll(() => stores.map((store) => store.lease.holds()), RECOVERY).toEqual([true, true]);
      await load.end();
      expect(next.port).not.toBe(old.port);
      expect(load.wrong).toEqual([]);
      expect(await lost(reader, load.acknowledged)).toEqual([]);
    },
    DEADLINE_MS,
  );

  test(
    'a primary is killed under load: only its shards lose their lease, and nothing is lost or stale',
    async () => {
      const [writer, reader] = stores;
      const [first] = layout;
      const old = await cluster.primaryOf(first?.slot ?? 0);
      const owners = await Promise.all(layout.map(({ slot }) => cluster.primaryOf(slot)));
      const others = names.filter((_, index) => owners[index] !== old);
      const load = underLoad(writer, reader, names);
      await load.begun();
      await old.kill();
      const held = (name: string) => reader.lease.holds(device(name));
      await expect
        .poll(() => [held(nameIn(0)), others.every(held)], { ...RECOVERY, interval: 5 })
        .toEqual([false, true]);
      await expect.poll(() => stores.map((store) => store.lease.holds()), RECOVERY).toEqual([true, true]);
      const during = load.counts.written;
      await expect.poll(() => load.counts.written, RECOVERY).toBeGreaterThan(during + 100);
      await load.end();
      expect(load.wrong).toEqual([]);
      expect(await lost(reader, load.acknowledged)).toEqual([]);
      expect(await cluster.primaryOf(first?.slot ?? 0)).not.toBe(old);
      await old.restart();
    },
    DEADLINE_MS,
  );
});
