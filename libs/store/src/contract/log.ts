import { describe, expect, test } from 'vitest';
import type { Change, LogPlace } from '../store.ts';
import {
  id,
  keyringOf,
  logOf,
  type MakeStore,
  makeStores,
  neighboursOf,
  secretSlot,
  writeOf,
  written,
} from './fixtures.ts';

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
      const { entries, end } = await store.log(logOf(store, ONE), START, 10);
      const nonces = entries?.map(({ nonce }) => nonce) ?? [];
      const shard = logOf(store, ONE);
      expect(entries).toEqual([
        { shard, position: 1, nonce: nonces[0], key: ONE, kind: 'CREATED', effect: { close: 'NONE' } },
        { shard, position: 2, nonce: nonces[1], key: ONE, kind: 'RETIRED', effect },
        { shard, position: 3, nonce: nonces[2], key: ONE, kind: 'DELETED', effect: { close: 'DEVICE' } },
      ]);
      expect([created, retired]).toEqual([1, 2]);
      expect(new Set(nonces).size).toBe(3);
      expect(end).toEqual({ position: 3, nonce: nonces[2] });
    });

    test('slices follow one another, and the end is that of the log', async () => {
      const { store } = await make(keyringOf('k1'));
      const shard = logOf(store, ONE);
      await Promise.all(neighboursOf(store, ONE, 25).map((deviceId) => written(store, writeOf(deviceId))));
      const all = (await store.log(shard, START, 100)).entries ?? [];
      const first = await store.log(shard, START, 10);
      const second = await store.log(shard, first.entries?.at(-1) ?? START, 10);
      const third = await store.log(shard, second.entries?.at(-1) ?? START, 10);
      expect(all.map(({ position }) => position)).toEqual(Array.from({ length: 25 }, (_, index) => index + 1));
      expect([first, second, third].flatMap(({ entries }) => entries)).toEqual(all);
      expect(first.end).toEqual({ position: 25, nonce: all[24]?.nonce });
      expect(await store.log(shard, first.end, 10)).toEqual({ entries: [], end: first.end });
    });

    test('a place of another history is unknown', async () => {
      const { store } = await make(keyringOf('k1'));
      const shard = logOf(store, ONE);
      expect(await store.log(shard, START, 10)).toEqual({ entries: [], end: START });
      await written(store, writeOf(ONE));
      const { end } = await store.log(shard, START, 10);
      const foreign = [
        { position: 1, nonce: 'other' },
        { position: 2, nonce: end.nonce },
        { position: 0, nonce: 'other' },
      ];
      for (const place of foreign) expect(await store.log(shard, place, 10)).toEqual({ entries: undefined, end });
    });
  });
}

/** Listeners: every change once, in order, before its write answers. */
export function listenContract(makeStore: MakeStore): void {
  describe('listeners', () => {
    const make = makeStores(makeStore);
    const lost = () => {};

    test('each change is heard once, in the order of its log', async () => {
      const { store } = await make(keyringOf('k1'));
      const heard: Change[] = [];
      store.listen({ changed: (change) => heard.push(change), lost });
      await Promise.all(Array.from({ length: 300 }, (_, index) => written(store, writeOf(id(`device-${index}`)))));
      const shards = Array.from({ length: store.shards }, (_, shard) => shard);
      const logs = await Promise.all(shards.map((shard) => store.log(shard, START, 300)));
      expect(shards.map((shard) => heard.filter((change) => change.shard === shard))).toEqual(
        logs.map(({ entries }) => entries),
      );
      expect(heard).toHaveLength(300);
    });

    test('a change is heard before its write answers', async () => {
      const { store } = await make(keyringOf('k1'));
      const heard: string[] = [];
      store.listen({ changed: ({ key, position }) => heard.push(`${key} ${position}`), lost });
      const late = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const revision = await written(store, writeOf(id(`device-${index}`)));
          return heard.includes(`device-${index} ${revision}`);
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
