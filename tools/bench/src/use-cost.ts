import { heldIn, USE_PRECISION_MS } from '@latchkey/credential';
import { systemClock } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import { deviceIdOf } from './devices.ts';
import type { RedisFleet } from './fleet-redis.ts';

/** Uses that are told at once: what a busy replica tells in a tenth of a second. */
const USES = 5_000;

/** CPU time of Redis for noting one use of a credential that was used before, microseconds, by round. */
export async function useCosts(fleet: RedisFleet, store: Store, rounds: number): Promise<readonly number[]> {
  const records = await Promise.all(Array.from({ length: USES }, (_, index) => store.read(deviceIdOf(index))));
  const found: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const atMs = systemClock.now() + round * USE_PRECISION_MS;
    const uses = records.flatMap((record) => {
      const held = record && heldIn(record, 'PRIMARY');
      return record === undefined || held === undefined
        ? []
        : [{ deviceId: record.deviceId, credentialId: held.credentialId, atMs }];
    });
    const before = await fleet.client.cpuUs();
    await store.reportUses({ replica: 'bench', uses, completeToMs: atMs, lostUntilMs: 0 });
    if (round > 0) found.push(((await fleet.client.cpuUs()) - before) / uses.length);
  }
  await store.endUses('bench');
  return found;
}
