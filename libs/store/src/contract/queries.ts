import { heldIn } from '@latchkey/credential';
import type { DeviceId } from '@latchkey/kernel';
import { describe, expect, test } from 'vitest';
import type { Store } from '../store.ts';
import { deviceOf, id, keyringOf, type MakeStore, makeStores, shown, writeOf, written } from './fixtures.ts';

// In the order of their bytes.
const SORTED = ['-dash', '0', 'A', 'B-1', 'B-10', 'B-2', '_line', 'a', 'b'].map(id);

async function listed(store: Store, prefix: string, limit: number): Promise<readonly DeviceId[]> {
  const ids: DeviceId[] = [];
  let after: DeviceId | undefined;
  do {
    const page = await store.list({ after, prefix, limit });
    expect(page.records.length).toBeLessThanOrEqual(limit);
    ids.push(...page.records.map(({ deviceId }) => deviceId));
    after = page.next;
  } while (after !== undefined);
  return ids;
}

/** Lists of records. */
export function listContract(makeStore: MakeStore): void {
  describe('list', () => {
    const make = makeStores(makeStore);

    test('pages of any size hold every record once, in order', async () => {
      const { store } = await make(keyringOf('k1'));
      await Promise.all(SORTED.toReversed().map((deviceId) => written(store, writeOf(deviceId))));
      for (const limit of [1, 2, 3, 9, 100]) expect(await listed(store, '', limit)).toEqual(SORTED);
    });

    test('a prefix narrows the list, also with a place in it', async () => {
      const { store } = await make(keyringOf('k1'));
      await Promise.all(SORTED.map((deviceId) => written(store, writeOf(deviceId))));
      expect(await listed(store, 'B-1', 1)).toEqual(['B-1', 'B-10']);
      expect(await listed(store, 'none', 5)).toEqual([]);
      const page = await store.list({ after: id('B-1'), prefix: 'B-', limit: 1 });
      expect(page.records.map(({ deviceId }) => deviceId)).toEqual(['B-10']);
      const before = await store.list({ after: id('0'), prefix: 'B-', limit: 1 });
      expect(before.records.map(({ deviceId }) => deviceId)).toEqual(['B-1']);
    });

    test('records are whole, and deleted ones are not listed', async () => {
      const { store } = await make(keyringOf('k1'));
      const revision = await written(store, writeOf(id('a')));
      await written(store, writeOf(id('b')));
      await written(store, writeOf(id('a'), { expectedRevision: revision, state: undefined, kind: 'DELETED' }));
      const { records, next } = await store.list({ after: undefined, prefix: '', limit: 10 });
      expect(records.map(shown)).toEqual([shown(await store.read(id('b')))]);
      expect(next).toBeUndefined();
    });
  });
}

/** Devices whose time is up. */
export function overdueContract(makeStore: MakeStore): void {
  describe('overdue', () => {
    const make = makeStores(makeStore);
    const late = (text: string, changes = {}): Parameters<typeof writeOf>[1] => ({
      state: deviceOf(id(text), { createdAtMs: 1_000_000, activationTimeoutS: 10, ...changes }),
    });
    const dueMs = 1_010_000;

    test('from the deadline on, earliest first, at most the limit', async () => {
      const { store } = await make(keyringOf('k1'));
      await written(store, writeOf(id('second'), late('second')));
      await written(store, writeOf(id('first'), late('first', { createdAtMs: 999_999 })));
      await written(store, writeOf(id('never'), late('never', { activationTimeoutS: 0 })));
      await written(store, writeOf(id('active'), late('active', { activatedAtMs: 1_000_001 })));
      expect(await store.overdue(dueMs - 2, 10)).toEqual([]);
      expect(await store.overdue(dueMs - 1, 10)).toEqual(['first']);
      expect(await store.overdue(dueMs, 10)).toEqual(['first', 'second']);
      expect(await store.overdue(dueMs, 1)).toEqual(['first']);
    });

    test('a retirement with a deadline falls due too, and with it the earlier of both', async () => {
      const { store } = await make(keyringOf('k1'));
      const write = async (text: string, atMs: number, changes = {}) => {
        const state = deviceOf(id(text), { activatedAtMs: 1, ...changes });
        const credentialId = heldIn(state, 'SECONDARY')?.credentialId;
        if (credentialId === undefined) throw new Error('the secondary is set');
        await written(store, writeOf(id(text), { state: { ...state, retirement: { credentialId, when: { atMs } } } }));
      };
      await write('retires', dueMs);
      await write('both', dueMs + 5, { createdAtMs: 999_999, activatedAtMs: undefined, activationTimeoutS: 10 });
      expect(await store.overdue(dueMs - 2, 10)).toEqual([]);
      expect(await store.overdue(dueMs - 1, 10)).toEqual(['both']);
      expect(await store.overdue(dueMs, 10)).toEqual(['both', 'retires']);
    });

    test('a device that is activated or deleted is overdue no more', async () => {
      const { store } = await make(keyringOf('k1'));
      const [a, b, c] = [id('a'), id('b'), id('c')];
      const revisionOfA = await written(store, writeOf(a, late('a')));
      const revisionOfB = await written(store, writeOf(b, late('b')));
      await written(store, writeOf(c, late('c')));
      await written(store, { ...writeOf(a, late('a', { activatedAtMs: 1 })), expectedRevision: revisionOfA });
      await written(store, writeOf(b, { state: undefined, expectedRevision: revisionOfB, kind: 'DELETED' }));
      expect(await store.overdue(dueMs, 10)).toEqual(['c']);
    });
  });
}

/** Small values under names. */
export function keepContract(makeStore: MakeStore): void {
  describe('keep', () => {
    const make = makeStores(makeStore);

    test('the first value stays, until it is forgotten', async () => {
      const { store } = await make(keyringOf('k1'));
      expect(await store.kept('name')).toBeUndefined();
      expect(await store.keep('name', 'first')).toBe('first');
      expect(await store.keep('name', 'second')).toBe('first');
      expect(await store.kept('name')).toBe('first');
      await store.forget('name');
      await store.forget('name');
      expect(await store.kept('name')).toBeUndefined();
      expect(await store.keep('name', 'second')).toBe('second');
    });

    test('of many at once one is kept, and all hear the same', async () => {
      const { store } = await make(keyringOf('k1'));
      const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => store.keep('name', `value-${index}`)));
      expect(new Set(answers)).toEqual(new Set([await store.kept('name')]));
    });
  });
}
