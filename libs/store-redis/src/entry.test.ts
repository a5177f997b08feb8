import { CAS_KEY } from '@latchkey/credential';
import { toCredentialId, toRevision } from '@latchkey/kernel';
import { expect, test } from 'vitest';
import { entryText, parseEntry } from './entry.ts';
import { device } from './fixture.ts';

const position = toRevision(7);
const credentialId = toCredentialId(Buffer.alloc(12, 1));

test('a change of a trust set is read as it was written', () => {
  const [kind, effect] = ['CERTIFICATE_DISABLED', { close: 'CERTIFICATES' }] as const;
  const change = { nonce: 'n', key: CAS_KEY, kind, effect } as const;
  expect(parseEntry(`7 ${entryText(change)}`, 0)).toEqual({ shard: 0, position, ...change });
});

test.each([{ close: 'NONE' } as const, { close: 'DEVICE' } as const, { close: 'CREDENTIAL', credentialId } as const])(
  'a change with the effect %j is read as it was written',
  (effect) => {
    const change = { nonce: 'n-_1', key: device('a_-1'), kind: 'RESET', effect } as const;
    expect(parseEntry(`7 ${entryText(change)}`, 3)).toEqual({ shard: 3, position, ...change });
  },
);

test('a kind of a newer version is a change all the same', () => {
  expect(parseEntry('7 n MOVED * a', 0)).toMatchObject({ kind: 'UPDATED', effect: { close: 'DEVICE' } });
});

test.each(['', '7', '0 n RESET - a', '-1 n RESET - a', '9007199254740992 n RESET - a', '7  RESET - a'])(
  '%j is no change',
  (text) => {
    expect(parseEntry(text, 0)).toBeUndefined();
  },
);

test.each(['7 n RESET x a', '7 n RESET - a:b', '7 n RESET -', 'x n RESET - a', '7 n RESET - .x', '7 n RESET - .CAS'])(
  '%j is no change either',
  (text) => {
    expect(parseEntry(text, 0)).toBeUndefined();
  },
);
