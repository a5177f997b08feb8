import { timingSafeEqual } from 'node:crypto';
import { digestOf, heldIn } from '@latchkey/credential';
import { type Keyring, unpackRecord } from '@latchkey/store';
import { deviceIdOf, proofOf } from './devices.ts';
import { keyOf } from './fleet-redis.ts';
import { IN_FLIGHT } from './in-process.ts';
import type { Round } from './measure.ts';
import type { RedisClient } from './redis-client.ts';

/** Messages under way at a time: one is on its way while another is worked on. */
const LANES = 2;

/**
 * What a cold decision cannot do without, and nothing else: the records are read many at a time, and then opened, and a
 * proof compared with the HMAC, one after another in a loop. No cache, no lease, no budget, no answer, no use to tell, and
 * no promise for each. What a GET costs more than this is the most that a cold decision could be cheaper than one.
 */
export async function partsRound(
  client: RedisClient,
  keyring: Keyring,
  indexes: readonly number[],
  timestamp: string,
): Promise<Round> {
  const asked = indexes.map((index) => {
    const deviceId = deviceIdOf(index);
    return { deviceId, key: keyOf(deviceId), password: Buffer.from(proofOf(index, timestamp).password, 'latin1') };
  });
  const computed = Buffer.alloc(64);
  let [next, right] = [0, 0];
  const lane = async () => {
    while (next < asked.length) {
      const slice = asked.slice(next, next + IN_FLIGHT / LANES);
      next += slice.length;
      const records = await client.getMany(slice.map(({ key }) => key));
      for (const [at, { deviceId, password }] of slice.entries()) {
        const record = records[at] ?? undefined;
        const held = record && heldIn(unpackRecord(record, keyring, deviceId), 'PRIMARY');
        if (held === undefined || !('secret' in held)) continue;
        computed.write(digestOf(1, timestamp, held.secret.reveal()), 'latin1');
        if (timingSafeEqual(computed, password)) right++;
      }
    }
  };
  const [before, begunMs] = [process.cpuUsage(), performance.now()];
  await Promise.all(Array.from({ length: LANES }, lane));
  const [wallMs, { user, system }] = [performance.now() - begunMs, process.cpuUsage(before)];
  if (right < asked.length) throw new Error(`${asked.length - right} of ${asked.length} proofs were not right`);
  return { operations: asked.length, cpuUs: user + system, wallMs };
}
