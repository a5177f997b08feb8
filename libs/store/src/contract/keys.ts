import { CAS_KEY, NOTHING_TRUSTED } from '@latchkey/credential';
import { systemRandom, toRevision } from '@latchkey/kernel';
import { describe, expect, test } from 'vitest';
import { checkKeys, KeyMismatch, keptKeys } from '../key-check.ts';
import { generateKeyLine, parseKeyring, SealingError } from '../keyring.ts';
import { packState, RecordError, withHeader } from '../record.ts';
import { StoreUnavailable } from '../store.ts';
import {
  deviceOf,
  id,
  keyringOf,
  logOf,
  type MakeStore,
  makeStores,
  secretSlot,
  shown,
  writeOf,
  written,
} from './fixtures.ts';

const START = { position: 0, nonce: '' };
const ONE = id('one');

/** Sealing: what lies in the store, and what is read of it. */
export function sealingContract(makeStore: MakeStore): void {
  describe('sealing', () => {
    const make = makeStores(makeStore);

    test('no secret lies in the store', async () => {
      const { store, dump } = await make(keyringOf('k1'));
      const canaries = ['canary-primary-9f2e71c5', 'canary-secondary-71c59f2e', 'canary-replaced-2e71c59f'] as const;
      const [primary, secondary, replaced] = canaries;
      const credentials = {
        kind: 'SECRET',
        format: 'TEXT',
        primary: secretSlot(replaced),
        secondary: secretSlot(secondary),
      } as const;
      const expectedRevision = await written(store, writeOf(ONE, { state: deviceOf(ONE, { credentials }) }));
      const state = deviceOf(ONE, { credentials: { ...credentials, primary: secretSlot(primary) } });
      await written(store, writeOf(ONE, { state, expectedRevision, kind: 'RESET' }));
      const raw = Buffer.from(await dump());
      expect(raw.includes(ONE)).toBe(true);
      for (const canary of canaries) {
        for (const form of [canary, Buffer.from(canary).toString('hex'), Buffer.from(canary).toString('base64')]) {
          expect(raw.includes(form)).toBe(false);
        }
      }
    });

    test('a keyring without the key reads nothing and says which device and what to do', async () => {
      const { store, reopen } = await make(keyringOf('k1'));
      await written(store, writeOf(ONE));
      const other = await reopen(keyringOf('k2'));
      const error = await other.read(ONE).catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(SealingError);
      expect(String(error)).toMatch(/device one is sealed under key reference [0-9a-f]{8}.*add the key/);
    });

    test('a record of another device, a cut one and an altered one are errors, never records', async () => {
      const keyring = keyringOf('k1');
      const { store, overwrite } = await make(keyring);
      const revision = await written(store, writeOf(ONE));
      const record = (deviceId = ONE) =>
        withHeader(packState(deviceOf(deviceId), keyring, systemRandom), revision, toRevision(0));
      await overwrite(ONE, record());
      expect((await store.read(ONE))?.deviceId).toBe(ONE);
      await overwrite(ONE, record(id('two')));
      await expect(store.read(ONE)).rejects.toThrow(RecordError);
      await overwrite(ONE, record().subarray(0, 60));
      await expect(store.read(ONE)).rejects.toThrow(RecordError);
      const whole = record();
      await overwrite(ONE, whole.with(-1, (whole.at(-1) ?? 0) ^ 1));
      await expect(store.read(ONE)).rejects.toThrow(/device one/);
    });
  });
}

/** Rotation of the sealing keys. */
export function resealContract(makeStore: MakeStore): void {
  describe('re-sealing', () => {
    const make = makeStores(makeStore);
    const oldLine = generateKeyLine('k1', systemRandom);
    const newLine = generateKeyLine('k2', systemRandom);
    const old = parseKeyring(oldLine);
    const both = parseKeyring(`${newLine}\n${oldLine}`);
    const fresh = parseKeyring(newLine);
    const ids = Array.from({ length: 7 }, (_, index) => id(`device-${index}`));

    test('a full pass leaves every record under the new key, otherwise as it was', async () => {
      const { store, reopen } = await make(old);
      await Promise.all(ids.map((deviceId) => written(store, writeOf(deviceId, { effect: { close: 'DEVICE' } }))));
      const before = await Promise.all(ids.map((deviceId) => store.read(deviceId)));
      const logs = () =>
        Promise.all(Array.from({ length: store.shards }, (_, shard) => rotating.log(shard, START, 10)));
      const rotating = await reopen(both);
      const logged = await logs();
      const first = await rotating.reseal(undefined, 4);
      const second = await rotating.reseal(first.next, 4);
      expect([first, second]).toEqual([
        { resealed: 4, next: ids[3] },
        { resealed: 3, next: undefined },
      ]);
      expect(await rotating.reseal(undefined, 100)).toEqual({ resealed: 0, next: undefined });
      expect(await logs()).toEqual(logged);
      const rotated = await reopen(fresh);
      const after = await Promise.all(ids.map((deviceId) => rotated.read(deviceId)));
      expect(after.map(shown)).toEqual(before.map(shown));
    });

    test('a write beside it is never undone', async () => {
      const { store, reopen } = await make(old);
      const revisions = await Promise.all(ids.map((deviceId) => written(store, writeOf(deviceId))));
      const rotating = await reopen(both);
      const [results] = await Promise.all([
        Promise.all(
          ids.map((deviceId, index) =>
            written(rotating, {
              ...writeOf(deviceId, { state: deviceOf(deviceId, { frozen: true }), kind: 'FROZEN' }),
              expectedRevision: revisions[index] ?? toRevision(0),
            }),
          ),
        ),
        rotating.reseal(undefined, 100),
      ]);
      const records = await Promise.all(ids.map((deviceId) => rotating.read(deviceId)));
      expect(records.map((record) => [record?.frozen, record?.revision])).toEqual(results.map((at) => [true, at]));
    });

    test('of replicas that start at once with different keys one refuses', async () => {
      const { store } = await make(old);
      const starts = await Promise.allSettled([checkKeys(store, old), checkKeys(store, fresh), checkKeys(store, old)]);
      const refused = starts.filter((start) => start.status === 'rejected');
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.every(({ reason }) => reason instanceof KeyMismatch)).toBe(true);
      expect(await keptKeys(store)).toHaveLength(1);
    });
  });
}

/** Opening again, and the end. */
export function lifetimeContract(makeStore: MakeStore): void {
  describe('life time', () => {
    const make = makeStores(makeStore);

    test('all is there after it was opened again', async () => {
      const keyring = keyringOf('k1');
      const { store, reopen } = await make(keyring);
      const replay = { key: 'operator/request', parameters: 'hash', credentialId: undefined };
      const revision = await written(store, writeOf(ONE, { replay }));
      await store.keep('name', 'value');
      const record = shown(await store.read(ONE));
      const log = await store.log(logOf(store, ONE), START, 10);
      const again = await reopen(keyring);
      expect(again.storeId).toBe(store.storeId);
      expect(shown(await again.read(ONE))).toEqual(record);
      expect(await again.log(logOf(again, ONE), START, 10)).toEqual(log);
      expect(await again.replayed(ONE, replay.key)).toEqual({ revision, replay });
      expect(await again.kept('name')).toBe('value');
    });

    test('the lease holds, and a position is settled', async () => {
      const { store } = await make(keyringOf('k1'));
      expect(await store.lease.waitFor(1_000)).toBe(true);
      expect(store.lease.holds()).toBe(true);
      const hears = () => Array.from({ length: store.shards }, (_, shard) => store.hears(shard));
      expect(hears()).toEqual(Array(store.shards).fill(true));
      await store.settled(ONE, await written(store, writeOf(ONE)));
    });

    test('after the end everything is refused', async () => {
      const { store } = await make(keyringOf('k1'));
      await written(store, writeOf(ONE));
      await store.close();
      await store.close();
      expect(store.lease.holds()).toBe(false);
      expect(store.hears(0)).toBe(false);
      for (const call of [
        () => store.read(ONE),
        () => store.write(writeOf(id('two'))),
        () => store.replayed(ONE, 'key'),
        () => store.list({ after: undefined, prefix: '', limit: 1 }),
        () => store.overdue(0, 1),
        () => store.log(0, START, 1),
        () => store.keep('name', 'value'),
        () => store.kept('name'),
        () => store.forget('name'),
        () => store.reseal(undefined, 1),
        () => store.readTrust(CAS_KEY),
        () =>
          store.writeTrust({
            ...{ key: CAS_KEY, expectedRevision: toRevision(0), set: NOTHING_TRUSTED },
            ...{ kind: 'TRUST_UPDATED', effect: { close: 'NONE' } },
          }),
        () => store.resealTrust(),
      ]) {
        await expect(call()).rejects.toThrow(StoreUnavailable);
      }
    });
  });
}
