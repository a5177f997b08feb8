import { CAS_KEY, type Refusal, type TrustSet } from '@latchkey/credential';
import { systemClock, systemRandom, toRevision } from '@latchkey/kernel';
import { generateKeyLine, openEmbeddedStore, parseKeyring, type Store } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freshDirectory } from './test-process.ts';
import { changeTrust, DISABLED } from './trust-writes.ts';

let store: Store;
let dispose: () => Promise<void>;
/** Positions that were waited for; the wait ends when the test says so. */
let waits: { readonly position: number; readonly end: () => void }[];

beforeEach(async () => {
  const directory = await freshDirectory();
  const keyring = parseKeyring(generateKeyLine('k1', systemRandom));
  const options = { directory: directory.path, keyring, clock: systemClock, random: systemRandom };
  const inner = await openEmbeddedStore(options);
  waits = [];
  const settled = (_: unknown, position: number) =>
    new Promise<void>((end) => {
      waits.push({ position, end });
    });
  store = { ...inner, settled };
  dispose = async () => {
    await inner.close();
    await directory.remove();
  };
});
afterEach(() => dispose());

const add = (fingerprint: string) => (set: TrustSet) => ({
  ...set,
  disabled: [...set.disabled, { fingerprint, disabledAtMs: 1, note: '' }],
});
const change = (plan: (set: TrustSet) => TrustSet | Refusal) => changeTrust(store, CAS_KEY, DISABLED, plan);
/** Whether a call has answered when all that can go on has gone on. */
async function answered(call: Promise<unknown>): Promise<boolean> {
  let done = false;
  void call.then(() => {
    done = true;
  });
  await expect.poll(() => waits.length).toBeGreaterThan(0);
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

test('a change answers only when no process decides on what was before, and so does one that changes nothing', async () => {
  const first = change(add('ab'.repeat(20)));
  expect(await answered(first)).toBe(false);
  expect(waits.map(({ position }) => position)).toEqual([1]);
  waits.shift()?.end();
  expect((await first).disabled).toHaveLength(1);
  const again = change((set) => set);
  expect(await answered(again)).toBe(false);
  expect(waits.map(({ position }) => position)).toEqual([1]);
  waits.shift()?.end();
  expect((await again).disabled).toHaveLength(1);
});

test('of two changes at once both are made', async () => {
  const both = Promise.all([change(add('ab'.repeat(20))), change(add('cd'.repeat(20)))]);
  await expect.poll(() => waits.length).toBe(2);
  for (const { end } of waits) end();
  await both;
  expect((await store.readTrust(CAS_KEY))?.disabled).toHaveLength(2);
});

test('a refusal writes nothing, and a set that is written without end is given up', async () => {
  await expect(change(() => ({ refused: 'CA_UNKNOWN' }))).rejects.toThrow('there is no such CA');
  expect(await store.readTrust(CAS_KEY)).toBeUndefined();
  const busy = { ...store, writeTrust: async () => ({ outcome: 'CONFLICT', revision: toRevision(1) }) as const };
  await expect(changeTrust(busy, CAS_KEY, DISABLED, add('ab'.repeat(20)))).rejects.toThrow('written by others');
});
