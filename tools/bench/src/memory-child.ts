// A process of its own, run with --expose-gc: what a verifier's cache takes. Arguments: URL of Redis, key file, devices.
import { readFileSync } from 'node:fs';
import { DEFAULT_SETTINGS } from '@latchkey/credential';
import { type DeviceId, systemClock, systemRandom } from '@latchkey/kernel';
import { parseKeyring, type Store } from '@latchkey/store';
import { openRedisStore } from '@latchkey/store-redis';
import { Verifier } from '@latchkey/verifier';
import { timestampOf } from './devices.ts';
import { forEach } from './operator.ts';
import { decided, questionOf } from './questions.ts';

const IN_FLIGHT = 256;

/** Decisions before the count begins: what code and pools take is no part of the cache. */
const WARM_UP = 5_000;

/** One pass leaves what only finalizers let go of. */
const PASSES = 4;

const [url = '', keyFile = '', count = ''] = process.argv.slice(2);
const devices = Number(count);
const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error('run it with --expose-gc');
const keyring = parseKeyring(readFileSync(keyFile, 'utf8'));
const store = await openRedisStore({ url, keyring, clock: systemClock, random: systemRandom });
const timestamp = timestampOf(systemClock.now());

await (await filled(store, Math.min(WARM_UP, devices))).close();
const before = await settledMemory(collect);
const verifier = await filled(store, devices);
const after = await settledMemory(collect);
if (verifier.size !== devices) throw new Error(`${verifier.size} of ${devices} devices are cached`);
process.stdout.write(`${JSON.stringify({ used: after.used - before.used, rss: after.rss - before.rss })}\n`);
await verifier.close();
await store.close();

/** A verifier that has decided on devices 0 to `size` - 1 and told of their use. */
async function filled(source: Store, size: number): Promise<Verifier> {
  const options = { clock: systemClock, random: systemRandom, settings: DEFAULT_SETTINGS, maxRecords: size };
  const made = new Verifier({ store: source, ...options });
  await made.start();
  const decide = async (index: number) => {
    const question = questionOf(index, timestamp);
    // As it comes off the wire: a string of its own, in one piece.
    const deviceId = Buffer.from(question.deviceId, 'latin1').toString('latin1') as DeviceId;
    const { decision } = await decided(made, { ...question, deviceId });
    if (!decision.granted) throw new Error(`a right proof got ${decision.reason}`);
  };
  await forEach(size, decide, IN_FLIGHT);
  await made.tellUses();
  return made;
}

async function settledMemory(gc: () => void): Promise<{ readonly used: number; readonly rss: number }> {
  for (let pass = 0; pass < PASSES; pass++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}
