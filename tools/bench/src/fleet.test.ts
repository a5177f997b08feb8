import { systemRandom, toRevision } from '@latchkey/kernel';
import { generateKeyLine, parseKeyring, type Store } from '@latchkey/store';
import { afterEach, expect, test } from 'vitest';
import { deviceIdOf, secretOf } from './devices.ts';
import { makeEmbeddedFleet } from './fleet-embedded.ts';
import { growFleets } from './fleet-records.ts';
import { startRedisFleet } from './fleet-redis.ts';
import { Processes } from './processes.ts';
import { newState } from './record-source.ts';

const processes = new Processes();
afterEach(() => processes.stop());

const keyring = parseKeyring(generateKeyLine('bench', systemRandom));

/** What an open store must be like that was loaded with devices 0 to 1499. */
async function expectWhole(store: Store): Promise<void> {
  const last = deviceIdOf(1_499);
  const record = await store.read(last);
  expect(record).toMatchObject({ deviceId: last, revision: 1_500, activatedAtMs: expect.any(Number) });
  const { credentials } = record ?? {};
  if (credentials?.kind !== 'SECRET') throw new Error('it has no secrets');
  const [primary, secondary] = [credentials.primary, credentials.secondary].map((slot) =>
    slot.state === 'SET' ? slot.secret.reveal() : slot.state,
  );
  expect(primary).toBe(secretOf(1_499));
  expect(secondary).toMatch(/^[A-Za-z0-9_-]{32}$/);
  expect(secondary).not.toBe(primary);
  const page = await store.list({ after: deviceIdOf(1_497), prefix: '', limit: 10 });
  expect(page.records.map(({ deviceId }) => deviceId)).toEqual([deviceIdOf(1_498), last]);
  // The next write goes on where the load ended, and a follower of the log finds all after the first load.
  const { end } = await store.log(0, { position: 0, nonce: '' }, 1);
  expect(end.position).toBe(1_500);
  const write = {
    deviceId: last,
    expectedRevision: toRevision(1_500),
    state: newState(last, secretOf(1)),
    replay: undefined,
  };
  const written = await store.write({ ...write, kind: 'UPDATED', effect: { close: 'NONE' } });
  expect(written).toEqual({ outcome: 'WRITTEN', revision: 1_501 });
  const { entries } = await store.log(0, end, 10);
  expect(entries?.map(({ position, key }) => [position, key])).toEqual([[1_501, last]]);
  await store.close();
}

test('a store in Redis that was loaded in two steps is like one that was written to', async () => {
  const fleet = await startRedisFleet(processes, keyring);
  await growFleets({ from: 0, to: 300 }, keyring, [fleet]);
  await growFleets({ from: 300, to: 1_500 }, keyring, [fleet]);
  await fleet.persist();
  await expect(fleet.client.info('aof_enabled')).resolves.toBe(1);
  await expectWhole(await fleet.open());
});

test('so is an embedded one', async () => {
  const fleet = await makeEmbeddedFleet(processes, keyring);
  await growFleets({ from: 0, to: 300 }, keyring, [fleet]);
  await growFleets({ from: 300, to: 1_500 }, keyring, [fleet]);
  expect(fleet.bytes()).toBeGreaterThan(1_500 * 150);
  await expectWhole(await fleet.open());
});

test('a store that a suite has left open ends with the run', async () => {
  const stores = [await startRedisFleet(processes, keyring), await makeEmbeddedFleet(processes, keyring)];
  const [inRedis, embedded] = [await stores[0]?.open(), await stores[1]?.open()];
  await processes.stop();
  await expect(inRedis?.read(deviceIdOf(0))).rejects.toThrow('the store is closed');
  await expect(embedded?.read(deviceIdOf(0))).rejects.toThrow('the store is closed');
});
