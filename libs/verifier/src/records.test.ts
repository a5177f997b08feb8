import type { DeviceRecord } from '@latchkey/credential';
import type { DeviceId } from '@latchkey/kernel';
import { expect, test } from 'vitest';
import { type Plain, plainForm, Records } from './records.ts';

const id = (text: string) => text as DeviceId;
const recordOf = (revision: number) => ({ revision }) as unknown as DeviceRecord;

/** Records over a store of promises that the test settles, oldest first. */
function recordsOver(maxRecords = 100) {
  const sent: PromiseWithResolvers<DeviceRecord | undefined>[] = [];
  let nowMs = 0;
  const records = new Records<DeviceId, DeviceRecord, Plain<DeviceRecord>>({
    maxRecords,
    form: plainForm(),
    monotonic: () => nowMs++,
    read: () => {
      const read = Promise.withResolvers<DeviceRecord | undefined>();
      sent.push(read);
      return read.promise;
    },
  });
  return { records, sent };
}

test('a read that was sent before an invalidation neither fills the cache nor may be decided on', async () => {
  const { records, sent } = recordsOver();
  const read = records.read(id('a'));
  records.invalidate(id('a'));
  sent[0]?.resolve(recordOf(1));
  const sighting = await read;
  expect(records.isCurrent(sighting)).toBe(false);
  expect(records.cached(id('a'))).toBeUndefined();
});

test('a question that comes after an invalidation does not join the read before it', async () => {
  const { records, sent } = recordsOver();
  const old = records.read(id('a'));
  records.invalidate(id('a'));
  const fresh = records.read(id('a'));
  sent[1]?.resolve(recordOf(2));
  sent[0]?.resolve(recordOf(1));
  expect((await fresh).record?.revision).toBe(2);
  await old;
  expect(records.cached(id('a'))?.record?.revision).toBe(2);
});

test('the end of an outdated read leaves the read that replaced it for others to join', async () => {
  const { records, sent } = recordsOver();
  const old = records.read(id('a'));
  records.invalidate(id('a'));
  const fresh = records.read(id('a'));
  sent[0]?.resolve(recordOf(1));
  await old;
  const joined = records.read(id('a'));
  expect(sent.length).toBe(2);
  sent[1]?.resolve(recordOf(2));
  expect(await joined).toBe(await fresh);
});

test('a burst on one device is one read', async () => {
  const { records, sent } = recordsOver();
  const reads = Array.from({ length: 1_000 }, () => records.read(id('a')));
  sent[0]?.resolve(recordOf(1));
  const [first, ...others] = await Promise.all(reads);
  expect(others.every((sighting) => sighting === first)).toBe(true);
  expect(sent.length).toBe(1);
  expect(records.stats).toEqual({ hits: 0, misses: 1, joins: 999 });
});

test('after a loss nothing is current: neither what is cached nor what is under way', async () => {
  const { records, sent } = recordsOver();
  const cached = records.read(id('a'));
  sent[0]?.resolve(recordOf(1));
  const sighting = await cached;
  const underWay = records.read(id('b'));
  records.invalidateAll();
  sent[1]?.resolve(recordOf(1));
  expect(records.isCurrent(sighting)).toBe(false);
  expect(records.isCurrent(await underWay)).toBe(false);
  expect([records.cached(id('a')), records.cached(id('b')), records.size]).toEqual([undefined, undefined, 0]);
});

test('a scan of unknown ids pushes out no device', async () => {
  const { records, sent } = recordsOver(10);
  const known = records.read(id('real'));
  sent[0]?.resolve(recordOf(1));
  await known;
  for (let number = 1; number <= 10_001; number += 1) {
    const read = records.read(id(`scan-${number}`));
    sent[number]?.resolve(undefined);
    await read;
  }
  expect(records.cached(id('real'))?.record?.revision).toBe(1);
  expect(records.size).toBe(1);
  expect(records.cached(id('scan-10001'))).toBeDefined();
  expect(records.cached(id('scan-1'))).toBeUndefined();
});

test('an unknown id is found once it is created', async () => {
  const { records, sent } = recordsOver();
  const unknown = records.read(id('a'));
  sent[0]?.resolve(undefined);
  await unknown;
  expect(records.cached(id('a'))).toBeDefined();
  records.invalidate(id('a'));
  expect(records.cached(id('a'))).toBeUndefined();
});

test('a failed read fails for all who joined it and leaves nothing behind', async () => {
  const { records, sent } = recordsOver();
  const reads = [records.read(id('a')), records.read(id('a'))];
  sent[0]?.reject(new Error('away'));
  expect((await Promise.allSettled(reads)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(records.cached(id('a'))).toBeUndefined();
  const again = records.read(id('a'));
  sent[1]?.resolve(recordOf(1));
  expect((await again).record?.revision).toBe(1);
});

test('no more devices are kept than the setting says', async () => {
  const { records, sent } = recordsOver(3);
  for (let number = 0; number < 5; number += 1) {
    const read = records.read(id(`d${number}`));
    sent[number]?.resolve(recordOf(1));
    await read;
  }
  expect(records.size).toBe(3);
});
