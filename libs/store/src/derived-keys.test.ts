import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { deriveKeys } from './derived-keys.ts';
import { parseKeyring } from './keyring.ts';

const line = (id: string, fill: number) => `${id}:${Buffer.alloc(32, fill).toString('base64')}`;
const keyring = parseKeyring(`${line('new', 1)}\n${line('old', 2)}`);
const bytesOf = (reference: string, purpose: string) =>
  deriveKeys(keyring, purpose).byReference.get(reference)?.export().toString('hex');

test('each sealing key has its own key for each purpose, under the same reference', () => {
  const { current, byReference } = deriveKeys(keyring, 'access token');
  expect(current).toBe(keyring.current.reference);
  expect([...byReference.keys()]).toEqual([...keyring.byReference.keys()]);
  const all = [...byReference.keys()].flatMap((reference) => [
    bytesOf(reference, 'access token'),
    bytesOf(reference, 'something else'),
    keyring.byReference.get(reference)?.key.export().toString('hex'),
  ]);
  expect(new Set(all).size).toBe(6);
});

test('it is HKDF-SHA256 with an empty salt: extract, then one block of expand', () => {
  const extracted = createHmac('sha256', Buffer.alloc(32)).update(Buffer.alloc(32, 1)).digest();
  const block = createHmac('sha256', extracted).update('latchkey access token').update(Buffer.of(1)).digest('hex');
  expect(bytesOf(keyring.current.reference, 'access token')).toBe(block);
});
