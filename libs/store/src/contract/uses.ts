import type { CredentialId } from '@latchkey/kernel';
import { describe, expect, test } from 'vitest';
import type { Store } from '../store.ts';
import { USE_BLIND_MS, USE_SILENCE_MS, type Use, type UseReport } from '../uses.ts';
import { deviceOf, id, keyringOf, type MakeStore, makeStores, secretSlot, writeOf, written } from './fixtures.ts';

const NOW_MS = 1_700_000_000_000;
const DEVICE = id('pump-1');

/** A report of one replica at a time. */
function report(completeToMs: number, uses: readonly Use[] = [], changes: Partial<UseReport> = {}): UseReport {
  return { replica: 'replica-a', uses, completeToMs, lostUntilMs: 0, ...changes };
}

/** Registers the device with two secrets, and answers the ids of its credentials. */
async function register(store: Store, deviceId = DEVICE) {
  const [primary, secondary] = [secretSlot('primary-secret'), secretSlot('secondary-secret')];
  const state = deviceOf(deviceId, { credentials: { kind: 'SECRET', format: 'TEXT', primary, secondary } });
  const revision = await written(store, writeOf(deviceId, { state }));
  const use = (credentialId: CredentialId, atMs: number): Use => ({ deviceId, credentialId, atMs });
  return { state, revision, primary: primary.credentialId, secondary: secondary.credentialId, use };
}

/** Last uses of credentials. */
export function usesContract(makeStore: MakeStore): void {
  describe('uses', () => {
    const make = makeStores(makeStore);

    test('the last use of each credential is known, and never goes back', async () => {
      const { store } = await make(keyringOf('k1'));
      const { primary, secondary, use } = await register(store);
      await store.reportUses(report(NOW_MS, [use(primary, 120_000), use(secondary, 60_000)]));
      await store.reportUses(report(NOW_MS, [use(primary, 60_000), use(secondary, 180_000)]));
      const { lastUsedAtMs } = await store.lastUses([DEVICE, id('unknown')]);
      expect([...lastUsedAtMs].sort()).toEqual([[primary, 120_000] as const, [secondary, 180_000] as const].sort());
      expect((await store.lastUses([id('unknown')])).lastUsedAtMs.size).toBe(0);
      expect((await store.lastUses([])).lastUsedAtMs.size).toBe(0);
    });

    test('many devices in one report, each with its own', async () => {
      const { store } = await make(keyringOf('k1'));
      const devices = await Promise.all(Array.from({ length: 300 }, (_, index) => register(store, id(`d-${index}`))));
      const uses = devices.flatMap(({ primary, secondary, use }, index) => [use(primary, index), use(secondary, 7)]);
      await store.reportUses(report(NOW_MS, uses));
      const ids = devices.map(({ state }) => state.deviceId);
      const { lastUsedAtMs } = await store.lastUses(ids);
      expect(devices.map(({ primary }) => lastUsedAtMs.get(primary))).toEqual(devices.map((_, index) => index));
      expect(lastUsedAtMs.size).toBe(600);
      expect((await store.lastUses(ids.slice(0, 2))).lastUsedAtMs.size).toBe(4);
    });

    test('nothing is kept of a device that is not there, nor of a credential that is gone', async () => {
      const { store } = await make(keyringOf('k1'));
      const { primary, secondary, use, state, revision } = await register(store);
      await store.reportUses(report(NOW_MS, [use(primary, 1_000), use(secondary, 2_000)]));
      const reset = { ...state, credentials: { ...state.credentials, primary: secretSlot('another-secret') } };
      const later = await written(
        store,
        writeOf(DEVICE, { state: reset as typeof state, expectedRevision: revision, kind: 'RESET' }),
      );
      expect([...(await store.lastUses([DEVICE])).lastUsedAtMs]).toEqual([[secondary, 2_000]]);
      await written(store, writeOf(DEVICE, { state: undefined, expectedRevision: later, kind: 'DELETED' }));
      expect((await store.lastUses([DEVICE])).lastUsedAtMs.size).toBe(0);
      await store.reportUses(report(NOW_MS, [use(secondary, 3_000)]));
      expect((await store.lastUses([DEVICE])).lastUsedAtMs.size).toBe(0);
    });

    test('uses are no change: no entry in the log, no other revision', async () => {
      const { store } = await make(keyringOf('k1'));
      const { primary, use, revision } = await register(store);
      await store.reportUses(report(NOW_MS, [use(primary, 1_000)]));
      expect((await store.read(DEVICE))?.revision).toBe(revision);
    });
  });

  describe('replicas that vanish', () => {
    const make = makeStores(makeStore);
    const blindUntil = async (store: Store) => (await store.lastUses([DEVICE])).blindUntilMs;

    test('one that is silent for too long leaves time in which uses may have gone unnoticed', async () => {
      const { store } = await make(keyringOf('k1'));
      await store.reportUses(report(NOW_MS, [], { replica: 'gone' }));
      await store.reportUses(report(NOW_MS + USE_SILENCE_MS - 1));
      expect(await blindUntil(store)).toBe(0);
      await store.reportUses(report(NOW_MS + USE_SILENCE_MS));
      expect(await blindUntil(store)).toBe(NOW_MS + USE_BLIND_MS);
    });

    test('one that goes on reporting, or has said that it ends, leaves none', async () => {
      const { store } = await make(keyringOf('k1'));
      await store.reportUses(report(NOW_MS, [], { replica: 'ended' }));
      await store.endUses('ended');
      await store.endUses('never-was');
      await store.reportUses(report(NOW_MS, [], { replica: 'slow' }));
      await store.reportUses(report(NOW_MS + 60_000, [], { replica: 'slow' }));
      await store.reportUses(report(NOW_MS + USE_SILENCE_MS));
      expect(await blindUntil(store)).toBe(0);
    });

    test('the latest of such times counts, also of uses that a replica had to drop', async () => {
      const { store } = await make(keyringOf('k1'));
      await store.reportUses(report(NOW_MS, [], { lostUntilMs: NOW_MS + 5 }));
      expect(await blindUntil(store)).toBe(NOW_MS + 5);
      await store.reportUses(report(NOW_MS - USE_SILENCE_MS, [], { replica: 'gone' }));
      await store.reportUses(report(NOW_MS));
      expect(await blindUntil(store)).toBe(NOW_MS + 5);
      await store.reportUses(report(NOW_MS + 10, [], { replica: 'gone-too' }));
      await store.reportUses(report(NOW_MS + 10 + USE_SILENCE_MS));
      expect(await blindUntil(store)).toBe(NOW_MS + 10 + USE_BLIND_MS);
    });

    test('what is known outlives the process', async () => {
      const keyring = keyringOf('k1');
      const { store, reopen } = await make(keyring);
      const { primary, use } = await register(store);
      await store.reportUses(report(NOW_MS, [use(primary, 1_000)], { replica: 'gone' }));
      const again = await reopen(keyring);
      await again.reportUses(report(NOW_MS + USE_SILENCE_MS));
      const { lastUsedAtMs, blindUntilMs } = await again.lastUses([DEVICE]);
      expect([[...lastUsedAtMs], blindUntilMs]).toEqual([[[primary, 1_000]], NOW_MS + USE_BLIND_MS]);
    });
  });
}
