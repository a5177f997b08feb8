import { NO_REVISION } from '@latchkey/kernel';
import { describe, expect, test } from 'vitest';
import {
  armedCredentials,
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

const SHA1 = 'ab'.repeat(20);
const SHA256 = '09af'.repeat(16);
const ONE = id('one');

/** Records: what is written is read, and only over the expected revision. */
export function recordContract(makeStore: MakeStore): void {
  describe('records', () => {
    const make = makeStores(makeStore);

    test.each([
      ['two secrets', deviceOf(ONE)],
      [
        'an NB-IoT secret, frozen',
        deviceOf(ONE, {
          frozen: true,
          credentials: {
            kind: 'SECRET',
            format: 'HEX',
            primary: secretSlot('0a'.repeat(16)),
            secondary: { state: 'EMPTY' },
          },
        }),
      ],
      ['activation', deviceOf(ONE, { activatedAtMs: 0, activationTimeoutS: 4_294_967_295 })],
      ['an armed primary, SHA-1', deviceOf(ONE, { credentials: armedCredentials(SHA1) })],
      ['an armed primary, SHA-256', deviceOf(ONE, { credentials: armedCredentials(SHA256) })],
      ['the longest id', deviceOf(id('x'.repeat(128)))],
    ])('reads what was written: %s', async (_, state) => {
      const { store } = await make(keyringOf('k1'));
      const revision = await written(store, writeOf(state.deviceId, { state }));
      expect(shown(await store.read(state.deviceId))).toEqual(
        shown({ ...state, revision, sessionsClosedAt: NO_REVISION }),
      );
    });

    test('an unknown device has no record', async () => {
      const { store } = await make(keyringOf('k1'));
      expect(await store.read(ONE)).toBeUndefined();
    });

    test('a write over another revision changes nothing and tells the one there is', async () => {
      const { store } = await make(keyringOf('k1'));
      const revision = await written(store, writeOf(ONE));
      const before = await store.read(ONE);
      const late = writeOf(ONE, { state: deviceOf(ONE, { frozen: true }) });
      expect(await store.write(late)).toEqual({ outcome: 'CONFLICT', revision });
      expect(shown(await store.read(ONE))).toEqual(shown(before));
      const unknown = writeOf(id('two'), { expectedRevision: revision });
      expect(await store.write(unknown)).toEqual({ outcome: 'CONFLICT', revision: NO_REVISION });
    });

    test('a record that is made again has a higher revision than the one before', async () => {
      const { store } = await make(keyringOf('k1'));
      const first = await written(store, writeOf(ONE));
      const gone = await written(store, writeOf(ONE, { expectedRevision: first, state: undefined, kind: 'DELETED' }));
      expect(await store.read(ONE)).toBeUndefined();
      const again = await written(store, writeOf(ONE));
      expect([gone > first, again > gone]).toEqual([true, true]);
      expect((await store.read(ONE))?.revision).toBe(again);
    });

    test('the last write that closed all sessions is remembered with the record', async () => {
      const { store } = await make(keyringOf('k1'));
      const credentialId = secretSlot('x').credentialId;
      const created = await written(store, writeOf(ONE));
      const kicked = await written(store, writeOf(ONE, { expectedRevision: created, effect: { close: 'DEVICE' } }));
      expect((await store.read(ONE))?.sessionsClosedAt).toBe(kicked);
      const effect = { close: 'CREDENTIAL', credentialId } as const;
      const retired = await written(store, writeOf(ONE, { expectedRevision: kicked, effect }));
      expect((await store.read(ONE))?.sessionsClosedAt).toBe(kicked);
      await written(store, writeOf(ONE, { expectedRevision: retired, state: undefined, kind: 'DELETED' }));
      await written(store, writeOf(ONE));
      expect((await store.read(ONE))?.sessionsClosedAt).toBe(NO_REVISION);
    });
  });
}

/** Many writers at once. */
export function concurrencyContract(makeStore: MakeStore): void {
  describe('many writers', () => {
    const make = makeStores(makeStore);

    test('of twenty writes over one revision exactly one is made', async () => {
      const { store } = await make(keyringOf('k1'));
      const expectedRevision = await written(store, writeOf(ONE));
      const states = Array.from({ length: 20 }, (_, index) => deviceOf(ONE, { createdAtMs: index }));
      const results = await Promise.all(states.map((state) => store.write(writeOf(ONE, { expectedRevision, state }))));
      const winner = results.findIndex(({ outcome }) => outcome === 'WRITTEN');
      const record = await store.read(ONE);
      expect(results.filter(({ outcome }) => outcome === 'CONFLICT')).toHaveLength(19);
      expect(record?.createdAtMs).toBe(winner);
      expect(results.map(({ revision }) => revision)).toEqual(results.map(() => record?.revision));
    });

    test('a thousand writes at once are all found, each with a place of its own', async () => {
      const { store } = await make(keyringOf('k1'));
      const ids = Array.from({ length: 1_000 }, (_, index) => id(`device-${index}`));
      const revisions = await Promise.all(ids.map((deviceId) => written(store, writeOf(deviceId))));
      const records = await Promise.all(ids.map((deviceId) => store.read(deviceId)));
      expect(records.map((record) => record?.deviceId)).toEqual(ids);
      expect(records.map((record) => record?.revision)).toEqual(revisions);
      const places = ids.map((deviceId, index) => `${logOf(store, deviceId)} ${revisions[index]}`);
      expect(new Set(places).size).toBe(1_000);
    });
  });
}

/** Writes that are sent again. */
export function replayContract(makeStore: MakeStore): void {
  describe('repeated writes', () => {
    const make = makeStores(makeStore);
    const replay = { key: 'operator/request', parameters: 'hash', credentialId: secretSlot('x').credentialId };

    test('a key that was used writes nothing and answers the first write, before the revision is looked at', async () => {
      const { store } = await make(keyringOf('k1'));
      const revision = await written(store, writeOf(ONE, { replay }));
      const other = { ...replay, parameters: 'other', credentialId: undefined };
      expect(await store.write(writeOf(ONE, { replay: other }))).toEqual({ outcome: 'REPLAYED', revision, replay });
      const over = writeOf(ONE, { replay: other, expectedRevision: revision });
      expect(await store.write(over)).toEqual({ outcome: 'REPLAYED', revision, replay });
      expect((await store.read(ONE))?.revision).toBe(revision);
    });

    test('a replay is found by device and key, outlives the record, and is not left by a conflict', async () => {
      const { store } = await make(keyringOf('k1'));
      const none = { ...replay, credentialId: undefined };
      const created = await written(store, writeOf(ONE));
      const gone = writeOf(ONE, { expectedRevision: created, state: undefined, kind: 'DELETED', replay: none });
      const revision = await written(store, gone);
      expect(await store.replayed(ONE, replay.key)).toEqual({ revision, replay: none });
      expect(await store.replayed(id('two'), replay.key)).toBeUndefined();
      expect(await store.replayed(ONE, 'operator/other')).toBeUndefined();
      const late = writeOf(ONE, { expectedRevision: created, replay: { ...replay, key: 'operator/late' } });
      expect((await store.write(late)).outcome).toBe('CONFLICT');
      expect(await store.replayed(ONE, 'operator/late')).toBeUndefined();
    });

    test('of ten writes with one key exactly one is made', async () => {
      const { store } = await make(keyringOf('k1'));
      const results = await Promise.all(Array.from({ length: 10 }, () => store.write(writeOf(ONE, { replay }))));
      const revision = (await store.read(ONE))?.revision;
      expect(results.filter(({ outcome }) => outcome === 'WRITTEN')).toEqual([{ outcome: 'WRITTEN', revision }]);
      expect(results.filter(({ outcome }) => outcome === 'REPLAYED')).toHaveLength(9);
    });
  });
}
