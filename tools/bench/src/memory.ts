import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemRandom } from '@latchkey/kernel';
import { generateKeyLine, parseKeyring } from '@latchkey/store';
import { deviceIdOf } from './devices.ts';
import { makeEmbeddedFleet } from './fleet-embedded.ts';
import { packedDevices } from './fleet-records.ts';
import { keyOf, LOG_KEY, startRedisFleet } from './fleet-redis.ts';
import { type Figure, figureOf, ratioOf } from './measure.ts';
import { type Plan, type Suite, sizeOf } from './plan.ts';
import type { RedisClient } from './redis-client.ts';

/** Memory does not change from round to round: there is one. */
const SIZES = {
  full: { devices: 1_000_000, perRound: 1, rounds: 1 },
  quick: { devices: 100_000, perRound: 1, rounds: 1 },
};
const AIMS = {
  cached_bytes_per_device: { bound: 'at_most', value: 300 },
  redis_record_bytes_per_device: { bound: 'at_most', value: 350 },
} as const;

const CHILD = fileURLToPath(import.meta.resolve('./memory-child.ts'));

const run = promisify(execFile);

/** What a device in use with two secrets takes: in the cache of an auth process, in Redis, and in the embedded store. */
export const memorySuite: Suite = async (plan) => {
  const { devices } = sizeOf(plan, SIZES);
  plan.say(`memory: ${devices} devices`);
  const keyLine = generateKeyLine('bench', systemRandom);
  const keyring = parseKeyring(keyLine);
  const [fleet, embedded] = [
    await startRedisFleet(plan.processes, keyring),
    await makeEmbeddedFleet(plan.processes, keyring),
  ];
  const used = () => fleet.client.info('used_memory');
  const [inRedis, onDisk] = [await fleet.begin(), await embedded.begin()];
  const [emptyBytes, emptyDiskBytes] = [await used(), embedded.bytes()];
  for (const batch of packedDevices({ from: 0, to: devices }, keyring)) {
    await Promise.all([inRedis.put(batch), onDisk.put(batch)]);
  }
  const recordBytes = (await used()) - emptyBytes;
  for (const load of [inRedis, onDisk]) await load.finish({ from: 0, to: devices });
  const logBytes = await memoryOf(fleet.client, LOG_KEY);
  const indexedBytes = await used();
  plan.say('memory: the fleet is loaded');
  const cached = await cachedBytes(plan, { keyLine, url: fleet.url, devices });
  const each = (bytes: number): Figure => figureOf([bytes / devices]);
  return {
    ratios: {
      cached_bytes_per_device: ratioOf([cached.used / devices], AIMS.cached_bytes_per_device),
      redis_record_bytes_per_device: ratioOf([recordBytes / devices], AIMS.redis_record_bytes_per_device),
    },
    rates: {
      cached_rss_bytes_per_device: each(cached.rss),
      redis_memory_usage_bytes_per_record: figureOf([await memoryOf(fleet.client, keyOf(deviceIdOf(0)))]),
      redis_index_bytes_per_device: each(indexedBytes - emptyBytes - recordBytes - logBytes),
      redis_usage_bytes_per_device: each((await used()) - indexedBytes),
      redis_log_bytes: figureOf([logBytes]),
      embedded_disk_bytes_per_device: each(embedded.bytes() - emptyDiskBytes),
    },
  };
};

/** What Redis says that a key takes, all of its elements counted. */
async function memoryOf({ call }: RedisClient, key: string): Promise<number> {
  return Number(await call(['MEMORY', 'USAGE', key, 'SAMPLES', '0']));
}

/** What the cache of a process takes that has decided on all devices. */
async function cachedBytes(
  { processes }: Plan,
  { keyLine, url, devices }: { readonly keyLine: string; readonly url: string; readonly devices: number },
): Promise<{ readonly used: number; readonly rss: number }> {
  const keyFile = join(processes.directory(), 'sealing.key');
  writeFileSync(keyFile, `${keyLine}\n`, { mode: 0o600 });
  const over = new AbortController();
  processes.add(async () => over.abort());
  const { stdout } = await run(process.execPath, ['--expose-gc', CHILD, url, keyFile, String(devices)], {
    signal: over.signal,
  });
  return JSON.parse(stdout);
}
