import { setTimeout as pause } from 'node:timers/promises';
import { NO_REVISION, type Revision } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import { deviceIdOf, secretOf } from './devices.ts';
import type { RedisFleet } from './fleet-redis.ts';
import { timed } from './measure.ts';
import { forEach } from './operator.ts';
import { newState } from './record-source.ts';

/** A connection must be so old before a write may be answered early (ADR 0008), and a little older. */
const GROWN_UP_MS = 1_200;

/** Changes under way at full speed: what a few operators' scripts have. */
const IN_FLIGHT = 64;

/** What so many replicas cost, and how long a change takes that all of them must have heard of. */
export type Members = {
  readonly replicas: number;
  /** CPU time of Redis in a second in which nothing happens, microseconds. */
  readonly idleRedisUs: number;
  /** Of each change, one after the other: from the write until it is settled, milliseconds. */
  readonly settleMs: readonly number[];
  /** CPU time of Redis for a change, and of all the replicas, microseconds. */
  readonly calm: Costs;
  /** The same with many under way. */
  readonly busy: Costs & { readonly changesPerS: number };
};

/** CPU time of one change, microseconds. */
export type Costs = { readonly redisUs: number; readonly replicasUs: number };

/** How much is done with them. */
export type MembersOptions = {
  readonly replicas: number;
  /** Changes one after the other, and with many under way. */
  readonly changes: number;
  readonly idleMs: number;
};

/** Opens the store so many times, as replicas do, and changes devices through the first one. */
export async function membersAt(fleet: RedisFleet, { replicas, changes, idleMs }: MembersOptions): Promise<Members> {
  const stores = await Promise.all(Array.from({ length: replicas }, () => fleet.open()));
  const [store] = stores;
  if (store === undefined) throw new RangeError('without a replica there is nothing to measure');
  await pause(GROWN_UP_MS);
  const change = changer(store);
  await forEach(changes, change); // makes the devices, and compiles the code
  const redisBefore = await fleet.client.cpuUs();
  const idle = await timed(() => pause(idleMs).then(() => undefined));
  const idleRedisUs = (((await fleet.client.cpuUs()) - redisBefore) * 1_000) / idle;
  const settleMs: number[] = [];
  const calm = await costOf(fleet, changes, async () => {
    for (let index = 0; index < changes; index++) settleMs.push(await timed(() => change(index)));
  });
  const busy = await costOf(fleet, changes, () => forEach(changes, change, IN_FLIGHT));
  await Promise.all(stores.map((each) => each.close()));
  return { replicas, idleRedisUs, settleMs, calm, busy: { ...busy, changesPerS: (changes * 1_000) / busy.wallMs } };
}

/** Writes a device anew and waits until it is settled, as a reset does. */
function changer(store: Store): (index: number) => Promise<void> {
  const revisions = new Map<number, Revision>();
  return async (index) => {
    const deviceId = deviceIdOf(index);
    const state = newState(deviceId, secretOf(index));
    const expectedRevision = revisions.get(index) ?? (await store.read(deviceId))?.revision ?? NO_REVISION;
    const change = { deviceId, expectedRevision, state, kind: 'RESET', replay: undefined } as const;
    const { outcome, revision } = await store.write({ ...change, effect: { close: 'NONE' } });
    if (outcome !== 'WRITTEN') throw new Error(`a change was answered ${outcome}`);
    revisions.set(index, revision);
    await store.settled(deviceId, revision);
  };
}

async function costOf(
  fleet: RedisFleet,
  changes: number,
  act: () => Promise<void>,
): Promise<Costs & { wallMs: number }> {
  const [redisBefore, before] = [await fleet.client.cpuUs(), process.cpuUsage()];
  const wallMs = await timed(act);
  const { user, system } = process.cpuUsage(before);
  const redisUs = (await fleet.client.cpuUs()) - redisBefore;
  return { redisUs: redisUs / changes, replicasUs: (user + system) / changes, wallMs };
}
