import { systemRandom } from '@latchkey/kernel';
import { expect, test } from 'vitest';
import { checkKeys, forgetKey, KeyMismatch, keptKeys } from './key-check.ts';
import { checkValue, generateKeyLine, MAX_KEYS, parseKeyring } from './keyring.ts';

const lineOf = (keyId: string) => generateKeyLine(keyId, systemRandom);
const [K1, K2] = [lineOf('k1'), lineOf('k2')];

function keyStore() {
  const values = new Map<string, string>();
  return {
    kept: async (name: string) => values.get(name),
    keep: async (name: string, value: string) => {
      if (!values.has(name)) values.set(name, value);
      return values.get(name) ?? '';
    },
    forget: async (name: string) => {
      values.delete(name);
    },
  };
}

test('a new store takes the current key, and no other', async () => {
  const store = keyStore();
  const keyring = parseKeyring(`${K1}\n${K2}`);
  expect(await keptKeys(store)).toEqual([]);
  await checkKeys(store, keyring);
  await checkKeys(store, keyring);
  expect(await keptKeys(store)).toEqual([{ id: 'k1', check: checkValue(keyring.current) }]);
});

test('a keyring without a key of the store is refused and changes nothing', async () => {
  const store = keyStore();
  await checkKeys(store, parseKeyring(K1));
  const start = checkKeys(store, parseKeyring(K2));
  await expect(start).rejects.toThrow(KeyMismatch);
  await expect(start).rejects.toThrow(
    'sealed under key "k1", which the keyring lacks: add its line below the first one',
  );
  expect((await keptKeys(store)).map(({ id }) => id)).toEqual(['k1']);
});

test('another key of the same id is refused', async () => {
  const store = keyStore();
  await checkKeys(store, parseKeyring(K1));
  await expect(checkKeys(store, parseKeyring(lineOf('k1')))).rejects.toThrow(
    'is not the key "k1" that sealed in this store',
  );
});

test('a rotation: the new key is added, the old one forgotten, and then needed no more', async () => {
  const store = keyStore();
  const rotating = parseKeyring(`${K2}\n${K1}`);
  await checkKeys(store, parseKeyring(K1));
  await checkKeys(store, rotating);
  expect((await keptKeys(store)).map(({ id }) => id)).toEqual(['k1', 'k2']);
  await expect(forgetKey(store, rotating, 'k2')).rejects.toThrow('key "k2" is the current key');
  await forgetKey(store, rotating, 'k1');
  await checkKeys(store, parseKeyring(K2));
  expect((await keptKeys(store)).map(({ id }) => id)).toEqual(['k2']);
});

test('keys come and go more often than there are places', async () => {
  const store = keyStore();
  let before = K1;
  for (let index = 0; index < 2 * MAX_KEYS; index += 1) {
    const line = lineOf(`n${index}`);
    const rotating = parseKeyring(`${line}\n${before}`);
    await checkKeys(store, rotating);
    await forgetKey(store, rotating, before.split(':')[0] ?? '');
    expect((await keptKeys(store)).map(({ id }) => id)).toEqual([`n${index}`]);
    before = line;
  }
});
