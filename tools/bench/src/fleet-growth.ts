import type { Keyring, Store } from '@latchkey/store';
import { ACCESSES, type Access, drawn } from './access.ts';
import type { EmbeddedFleet } from './fleet-embedded.ts';
import { growFleets, type Range } from './fleet-records.ts';
import type { RedisFleet } from './fleet-redis.ts';
import { type DecisionRound, decideAll, verifierOver } from './in-process.ts';
import { trialsOf } from './questions.ts';

/** Questions that fill the cache before those that count, for each device that it holds. */
const WARM_UP = 2;

/** Decisions on devices of one fleet. */
export type Found = DecisionRound & {
  readonly store: 'Redis' | 'embedded';
  readonly access: Access;
  readonly devices: number;
  /** CPU time of Redis, microseconds; 0 without one. */
  readonly redisCpuUs: number;
};

/** What a store takes for one device, all that stands beside its record included. */
export type Size = { readonly store: Found['store']; readonly devices: number; readonly bytesPerDevice: number };

/** A fleet that grows. */
export type Growing = {
  readonly keyring: Keyring;
  readonly timestamp: string;
  readonly redis: RedisFleet;
  readonly embedded: EmbeddedFleet;
  /** What Redis takes without a device. */
  readonly emptyBytes: number;
  /** Records in each cache. */
  readonly cached: number;
  readonly perRound: number;
};

type Place = {
  readonly store: Found['store'];
  readonly open: () => Promise<Store>;
  readonly redisCpuUs: () => Promise<number>;
};

/** Grows the fleet in Redis, and in the embedded store too if that is wanted, and decides on its devices. */
export async function grown(
  growing: Growing,
  range: Range,
  inBoth: boolean,
): Promise<{ readonly found: readonly Found[]; readonly sizes: readonly Size[] }> {
  const { keyring, redis, embedded, emptyBytes } = growing;
  await growFleets(range, keyring, inBoth ? [redis, embedded] : [redis]);
  await redis.persist();
  const bytes = { Redis: (await redis.client.info('used_memory')) - emptyBytes, embedded: embedded.bytes() };
  const both: readonly Place[] = [
    { store: 'Redis', open: redis.open, redisCpuUs: redis.client.cpuUs },
    { store: 'embedded', open: embedded.open, redisCpuUs: async () => 0 },
  ];
  const places = inBoth ? both : both.slice(0, 1);
  const devices = range.to;
  const sizes = places.map(({ store }) => ({ store, devices, bytesPerDevice: bytes[store] / devices }));
  const found: Found[] = [];
  for (const place of places) {
    const store = await place.open();
    for (const access of ACCESSES) found.push(await decisions(growing, { ...place, opened: store }, access, devices));
    await store.close();
  }
  return { found, sizes };
}

async function decisions(
  { timestamp, cached, perRound }: Growing,
  place: Place & { readonly opened: Store },
  access: Access,
  devices: number,
): Promise<Found> {
  const verifier = verifierOver(place.opened, cached);
  await verifier.start();
  const warmUp = WARM_UP * cached;
  const indexes = drawn(access, warmUp + perRound, devices);
  await decideAll(verifier, trialsOf(indexes.subarray(0, warmUp), timestamp));
  const trials = trialsOf(indexes.subarray(warmUp), timestamp);
  const before = await place.redisCpuUs();
  const round = await decideAll(verifier, trials);
  const redisCpuUs = (await place.redisCpuUs()) - before;
  await verifier.close();
  return { ...round, store: place.store, access, devices, redisCpuUs };
}
