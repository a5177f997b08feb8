import { status } from '@grpc/grpc-js';
import { ChangeKind, SessionEffect, Slot } from '@latchkey/protocol/v1';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Service, STORES, startService } from './test-stores.ts';
import { TestWatcher } from './test-watcher.ts';

let service: Service;
const open = new Set<TestWatcher>();

function watch(cursor = ''): TestWatcher {
  const watcher = new TestWatcher(service.clients.channel, { cursor });
  open.add(watcher);
  return watcher;
}

const create3 = async (prefix: string) => {
  for (const deviceId of [`${prefix}1`, `${prefix}2`, `${prefix}3`]) {
    await service.clients.devices.createDevice({ deviceId, primary: { case: 'secret', value: {} } });
  }
};

describe.each(STORES)('over the %s store', (kind) => {
  beforeAll(async () => {
    service = await startService(kind);
  });
  afterEach(() => {
    for (const watcher of open) watcher.stop();
    open.clear();
  });
  afterAll(() => service.stop());

  test('a beat comes first and again within two seconds, then changes in order with what they end', async () => {
    const { devices, credentials } = service.clients;
    const watcher = watch();
    await watcher.until(() => watcher.heard.length > 0);
    expect(watcher.heard[0]?.event.case).toBe('beat');
    await create3('w');
    await credentials.resetCredential({
      ...{ deviceId: 'w1', slot: Slot.PRIMARY, forceDisconnect: true },
      credential: { case: 'secret', value: {} },
    });
    await devices.freezeDevice({ deviceId: 'w2' });
    await devices.deleteDevice({ deviceId: 'w3' });
    await watcher.until(() => watcher.events('change').length === 6);
    const { CREATED, RESET, FROZEN, DELETED } = ChangeKind;
    const { KEEP, CLOSE_DEVICE } = SessionEffect;
    expect(watcher.events('change').map(({ deviceId, kind: what, effect }) => [deviceId, what, effect])).toEqual([
      ...['w1', 'w2', 'w3'].map((deviceId) => [deviceId, CREATED, KEEP]),
      ['w1', RESET, CLOSE_DEVICE],
      ['w2', FROZEN, CLOSE_DEVICE],
      ['w3', DELETED, CLOSE_DEVICE],
    ]);
    const revisions = watcher.events('change').map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.map((_, index) => (revisions[0] ?? 0n) + BigInt(index)));
    const before = watcher.heard.length;
    await watcher.until(() => watcher.heard.length === before + 2);
    expect(watcher.heard.slice(before).map(({ event }) => event.case)).toEqual(['beat', 'beat']);
  });

  test('a cursor resumes after its message: nothing is lost, nothing comes twice', async () => {
    const watcher = watch();
    await watcher.until(() => watcher.heard.length > 0);
    await create3('c');
    await watcher.until(() => watcher.events('change').length === 3);
    const resumed = watch(watcher.heard.find(({ event }) => event.case === 'change')?.cursor);
    await resumed.until(() => resumed.events('change').length === 2);
    await create3('later');
    await resumed.until(() => resumed.events('change').length === 5);
    expect(resumed.heard[0]?.event.case).toBe('beat');
    expect(resumed.events('change').map(({ deviceId }) => deviceId)).toEqual([
      'c2',
      'c3',
      'later1',
      'later2',
      'later3',
    ]);
  });

  test('a cursor of another store, or of a place that is not there, is a gap, and the stream goes on', async () => {
    const watcher = watch();
    await watcher.until(() => watcher.heard.length > 0);
    const own = watcher.heard[0]?.cursor ?? '';
    const cursors = ['another-store.7:abc', own.replace(/\.[0-9]+:/, '.9999999999999999:'), own.replace(/[^:]*$/, 'x')];
    for (const other of cursors.map((cursor) => watch(cursor))) {
      await other.until(() => other.heard.length > 0);
      expect(other.heard[0]?.event).toMatchObject({ case: 'gap', value: { shardCount: 1, shards: [0] } });
      await other.until(() => other.heard.length > 1);
      expect(other.heard[1]?.event.case).toBe('beat');
    }
  });

  test('a cursor that is none is refused', async () => {
    for (const cursor of ['x', 'a.b:c', '..', 'a.-1:c', 'a.1']) {
      expect(await watch(cursor).failed).toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: 'cursor: not one of this service',
      });
    }
  });
});
