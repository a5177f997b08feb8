import { describe, expect, test } from 'vitest';
import type { Change, LogPlace } from '../store.ts';
import { id, keyringOf, type MakeStore, makeStores, secretSlot, writeOf, written } from './fixtures.ts';

const START: LogPlace = { position: 0, nonce: '' };
const ONE = id('one');

/** The log: every write and nothing else, in order, in slices. */
export function logContract(makeStore: MakeStore): void {
  describe('log', () => {
    const make = makeStores(makeStore);

    test('each write is one entry at its revision, from 1 on without a gap', async () => {
      const { store } = await make(keyringOf('k1'));
      const credentialId = secretSlot('x').credentialId;
      const created = await written(store, writeOf(ONE));
      const effect = { close: 'CREDENTIAL', credentialId } as const;
      const retired = await written(store, writeOf(ONE, { expectedRevision: created, kind: 'RETIRED', effect }));
      await store.write(writeOf(ONE));
      const deleted = {
        expectedRevision: retired,
        state: undefined,
        kind: 'DELETED',
        effect: { close: 'DEVICE' },
      } as const;
      await written(store, writeOf(ONE, deleted));
      const { entries, end } = await store.log(0, START, 10);
      const nonces = entries?.map(({ nonce }) => nonce) ?? [];
      expect(entries).toEqual([
        { shard: 0, position: 1, nonce: nonces[0], deviceId: ONE, kind: 'CREATED', effect: { close: 'NONE' } },
        { shard: 0, position: 2, nonce: nonces[1], deviceId: ONE, kind: 'RETIRED', effect },
        { shard: 0, position: 3, nonce: nonces[2], deviceId: ONE, kind: 'DELETED', effect: { close: 'DEVICE' } },
      ]);
      expect([created, retired]).toEqual([1, 2]);
      expect(new Set(nonces).size).toBe(3);
      expect(end).toEqual({ shard: 0, position: 3, nonce: nonces[2] });
    });

    test('slices follow one another, and the end is that of the log', async () => {
      const { store } = await make(keyringOf('k1'));
      await Promise.all(Array.from({ length: 25 }, (_, index) => written(store, writeOf(id(`device-${index}`)))));
      const all = (await store.log(0, START, 100)).entries ?? [];
      const first = await store.log(0, START, 10);
      const second = await store.log(0, first.entries?.at(-1) ?? START, 10);
      const third = await store.log(0, second.entries?.at(-1) ?? START, 10);
      expect(all.map(({ position }) => position)).toEqual(Array.from({ length: 25 }, (_, index) => index + 1));
      expect([first, second, third].flatMap(({ entries }) => entries)).toEqual(all);
      expect(first.end).toEqual({ position: 25, nonce: all[24]?.nonce });
      expect(await store.log(0, first.end, 10)).toEqual({ entries: [], end: first.end });
    });

    test('a place of another history is unknown', async () => {
      const { store } = await make(keyringOf('k1'));
      expect(await store.log(0, START, 10)).toEqual({ entries: [], end: START });
      await written(store, writeOf(ONE));
      const { end } = await store.log(0, START, 10);
      const foreign = [
        { position: 1, nonce: 'other' },
        { position: 2, nonce: end.nonce },
        { position: 0, nonce: 'other' },
      ];
      for (const place of foreign) expect(await store.log(0, place, 10)).toEqual({ entries: undefined, end });
    });
  });
}

/** Listeners: every change once, in order, before its write answers. */
export function listenContract(makeStore: MakeStore): void {
  describe('listeners', () => {
    const make = makeStores(makeStore);
    const lost = () => {};

    test('each change is heard once, in the order of the log', async () => {
      const { store } = await make(keyringOf('k1'));
      const heard: Change[] = [];
      store.listen({ changed: (change) => heard.push(change), lost });
      await Promise.all(Array.from({ length: 300 }, (_, index) => written(store, writeOf(id(`device-${index}`)))));
      expect(heard).toEqual((await store.log(0, START, 300)).entries);
      expect(heard).toHaveLength(300);
    });

    test('a change is heard before its write answers', async () => {
      const { store } = await make(keyringOf('k1'));
      const heard: number[] = [];
      store.listen({ changed: ({ position }) => heard.push(position), lost });
      const late = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const revision = await written(store, writeOf(id(`device-${index}`)));
          return heard.includes(revision);
        }),
      );
      expect(late).toEqual(late.map(() => true));
    });

    test('nothing is heard of what changes no record, nor after the end', async () => {
      const { store } = await make(keyringOf('k1'));
      const heard: number[] = [];
      const end = store.listen({ changed: ({ position }) => heard.push(position), lost });
      const replay = { key: 'operator/request', parameters: '', credentialId: undefined };
      await written(store, writeOf(ONE, { replay }));
      await store.write(writeOf(ONE));
      await store.write(writeOf(ONE, { replay }));
      await store.keep('name', 'value');
      await store.reseal(undefined, 10);
      expect(heard).toEqual([1]);
      end();
      await written(store, writeOf(id('two')));
      expect(heard).toEqual([1]);
    });
  });
}
