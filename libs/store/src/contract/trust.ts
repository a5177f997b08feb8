import {
  CAS_KEY,
  CRL_KEYS,
  type Crl,
  DISABLED_KEYS,
  type DisabledCertificate,
  disabledKeyOf,
  fingerprintsOf,
  issuerKeyOf,
} from '@latchkey/credential';
import { NO_REVISION, type Revision, systemRandom, toRevision } from '@latchkey/kernel';
import { describe, expect, test } from 'vitest';
import { generateKeyLine, parseKeyring, SealingError } from '../keyring.ts';
import { packTrust, RecordError, withHeader } from '../record.ts';
import type { Change, Store, TrustWrite } from '../store.ts';
import { id, keyringOf, type MakeStore, makeStores, writeOf, written } from './fixtures.ts';

const START = { position: 0, nonce: '' };
const SHA1 = 'ab'.repeat(20);
const KEY = disabledKeyOf(SHA1);

function disabled(fingerprint: string, note = ''): DisabledCertificate {
  return { fingerprint, disabledAtMs: 1_700_000_000_000, note };
}

/** A CRL that revokes so many certificates. */
function crl(revoked: number, number: bigint | undefined): Crl {
  const issuer = 'cd'.repeat(16);
  const marks = Array.from({ length: revoked }, (_, at) => `i${issuer}${at.toString(16).padStart(32, '0')}`);
  const [thisUpdateMs, nextUpdateMs] = [1_700_000_000_000, 1_800_000_000_000];
  return { caId: 'ef'.repeat(32), issuer, number, thisUpdateMs, nextUpdateMs, revoked: marks };
}

/** A write of the disabled certificates that begin with `ab`: the first one unless changed. */
function trustWrite(changes: Partial<TrustWrite> = {}): TrustWrite {
  return {
    key: KEY,
    expectedRevision: NO_REVISION,
    set: { cas: [], disabled: [disabled(SHA1)], crls: [] },
    kind: 'CERTIFICATE_DISABLED',
    effect: { close: 'CERTIFICATES' },
    ...changes,
  };
}

async function entrusted(store: Store, write: TrustWrite): Promise<Revision> {
  const { outcome, revision } = await store.writeTrust(write);
  if (outcome !== 'WRITTEN') throw new Error(`the write of ${write.key} ended as ${outcome}`);
  return revision;
}

/** What is trusted: kept like records, in the same log, apart from the devices. */
export function trustContract(makeStore: MakeStore): void {
  describe('what is trusted', () => {
    const make = makeStores(makeStore);

    test('is read as it was written, up to its bounds', async () => {
      const { store } = await make(keyringOf('k1'));
      expect(await store.readTrust(CAS_KEY)).toBeUndefined();
      const cas = Array.from({ length: 100 }, (_, number) => {
        const der = new Uint8Array(16_384).fill(number);
        const status = (['UNVERIFIED', 'TRUSTED', 'DISABLED'] as const)[number % 3] ?? 'TRUSTED';
        return { caId: fingerprintsOf(der).sha256, der, status, verifyCode: `code-${number}` };
      });
      const many = Array.from({ length: 1_000 }, (_, number) =>
        disabled(`ab${number.toString(16).padStart(62, '0')}`, '\u{10ffff}'.repeat(256)),
      );
      const full = [
        { key: CAS_KEY, set: { cas, disabled: [], crls: [] } },
        { key: KEY, set: { cas: [], disabled: [disabled(SHA1, 'für später'), ...many.slice(1)], crls: [] } },
        {
          key: issuerKeyOf('cd'),
          set: { cas: [], disabled: [], crls: [crl(0, undefined), crl(1, 0n), crl(99_999, 2n ** 159n - 1n)] },
        },
      ];
      for (const { key, set } of full) {
        const revision = await entrusted(store, trustWrite({ key, set }));
        expect(await store.readTrust(key)).toEqual({ ...set, revision });
      }
      expect(await store.readTrust(disabledKeyOf('00'))).toBeUndefined();
    });

    test('is written over the expected revision only', async () => {
      const { store } = await make(keyringOf('k1'));
      const revision = await entrusted(store, trustWrite());
      expect(await store.writeTrust(trustWrite())).toEqual({ outcome: 'CONFLICT', revision });
      const over = { expectedRevision: revision, set: { cas: [], disabled: [], crls: [] } };
      const results = await Promise.all(Array.from({ length: 10 }, () => store.writeTrust(trustWrite(over))));
      expect(results.filter(({ outcome }) => outcome === 'WRITTEN')).toHaveLength(1);
      expect((await store.readTrust(KEY))?.disabled).toEqual([]);
    });

    test('stands in log 0, is heard before the write answers, and is settled', async () => {
      const { store } = await make(keyringOf('k1'));
      const heard: Change[] = [];
      store.listen({ changed: (change) => heard.push(change), lost: () => {} });
      const position = await entrusted(store, trustWrite());
      const [change] = heard;
      const expected = { shard: 0, position, nonce: change?.nonce, key: KEY, kind: 'CERTIFICATE_DISABLED' };
      expect(heard).toEqual([{ ...expected, effect: { close: 'CERTIFICATES' } }]);
      expect((await store.log(0, START, 10)).entries).toEqual(heard);
      expect(await store.lease.waitFor(1_000, KEY)).toBe(true);
      expect(store.lease.holds(KEY)).toBe(true);
      await store.settled(KEY, position);
    });

    test('is no device, and devices are none of it', async () => {
      const { store } = await make(keyringOf('k1'));
      await entrusted(store, trustWrite());
      await written(store, writeOf(id('ab')));
      const { records } = await store.list({ after: undefined, prefix: '', limit: 10 });
      expect(records.map(({ deviceId }) => deviceId)).toEqual(['ab']);
      expect(await store.overdue(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
      expect(await store.reseal(undefined, 10)).toEqual({ resealed: 0, next: undefined });
    });

    test('does not open when it was altered, cut, or put in the place of another set', async () => {
      const keyring = keyringOf('k1');
      const { store, overwrite, reopen } = await make(keyring);
      const revision = await entrusted(store, trustWrite());
      const bytes = (key = KEY) =>
        withHeader(packTrust(key, trustWrite().set, keyring, systemRandom), revision, toRevision(0));
      await overwrite(KEY, bytes());
      expect((await store.readTrust(KEY))?.disabled).toEqual([disabled(SHA1)]);
      await overwrite(KEY, bytes(CAS_KEY));
      await expect(store.readTrust(KEY)).rejects.toThrow(RecordError);
      await overwrite(KEY, bytes().subarray(0, 40));
      await expect(store.readTrust(KEY)).rejects.toThrow(RecordError);
      const whole = bytes();
      await overwrite(KEY, whole.with(-3, (whole.at(-3) ?? 0) ^ 1));
      await expect(store.readTrust(KEY)).rejects.toThrow(/the trust set \.ab/);
      await overwrite(KEY, bytes());
      const stranger = await reopen(keyringOf('k2'));
      await expect(stranger.readTrust(KEY)).rejects.toThrow(SealingError);
    });

    test('is sealed again under a new key, at the same revision and without an entry', async () => {
      const oldLine = generateKeyLine('k1', systemRandom);
      const newLine = generateKeyLine('k2', systemRandom);
      const { store, reopen } = await make(parseKeyring(oldLine));
      await entrusted(store, trustWrite());
      await entrusted(store, trustWrite({ key: CAS_KEY, set: { cas: [], disabled: [], crls: [] } }));
      const before = await store.readTrust(KEY);
      const { end } = await store.log(0, START, 10);
      const rotating = await reopen(parseKeyring(`${newLine}\n${oldLine}`));
      expect([await rotating.resealTrust(), await rotating.resealTrust()]).toEqual([2, 0]);
      const rotated = await reopen(parseKeyring(newLine));
      expect(await rotated.readTrust(KEY)).toEqual(before);
      expect((await rotated.log(0, START, 10)).end).toEqual(end);
    });

    test('every set has a place of its own', async () => {
      const { store } = await make(keyringOf('k1'));
      const keys = [CAS_KEY, ...DISABLED_KEYS, ...CRL_KEYS];
      const set = (key: string) => ({ cas: [], disabled: [disabled(SHA1, key)], crls: [] });
      await Promise.all(keys.map((key) => entrusted(store, trustWrite({ key, set: set(key) }))));
      const sets = await Promise.all(keys.map((key) => store.readTrust(key)));
      expect(sets.map((found) => found?.disabled[0]?.note)).toEqual(keys);
    });
  });
}
