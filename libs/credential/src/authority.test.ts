import { beforeAll, describe, expect, it } from 'vitest';
import {
  caIdOf,
  caIn,
  deleteCa,
  disableCa,
  disableCertificate,
  enableCertificate,
  registerCa,
  verifyCa,
} from './authority.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { DAY_MS, type Identity, issue, NOW_MS, type Wish } from './test-pki.ts';
import {
  CAS_KEY,
  DISABLED_KEYS,
  disabledKeyOf,
  isTrustKey,
  NOTHING_TRUSTED,
  parseTrustKey,
  type TrustSet,
  viewOf,
} from './trust.ts';

const CODE = '0123456789abcdef0123456789abcdef';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

let ca: Identity;
let caId: string;
let set: TrustSet;

beforeAll(async () => {
  ca = await issue('ca', { ca: true });
  caId = caIdOf(ca.certificate);
  set = taken(registerCa(NOTHING_TRUSTED, newCa(ca)));
});

function newCa({ certificate }: Identity, verifyCode = CODE) {
  return { certificate, verifyCode, nowMs: NOW_MS };
}

function taken(outcome: TrustSet | Refusal): TrustSet {
  if (isRefusal(outcome)) throw new Error(outcome.refused);
  return outcome;
}

function statuses({ cas }: TrustSet): readonly string[] {
  return cas.map(({ status }) => status);
}

async function proofOf(name: string, wish: Wish = { issuer: ca }, nowMs = NOW_MS) {
  return { certificate: (await issue(name, wish)).certificate, nowMs };
}

async function verified(): Promise<TrustSet> {
  return taken(verifyCa(set, caId, await proofOf(CODE)));
}

describe('registerCa', () => {
  it('takes a CA in without trusting it', () => {
    expect(set.cas).toEqual([{ caId, der: ca.certificate.raw, status: 'UNVERIFIED', verifyCode: CODE }]);
    expect(viewOf(set).trustedCas.size).toBe(0);
  });

  it('answers the same to a repetition, and refuses a trusted one', async () => {
    expect(registerCa(set, newCa(ca, 'another code'))).toBe(set);
    expect(registerCa(await verified(), newCa(ca))).toEqual(refuse('CA_KNOWN'));
  });

  it('begins anew with a disabled one: the old code counts no more', async () => {
    const again = taken(registerCa(taken(disableCa(await verified(), caId)), newCa(ca, 'new code')));
    expect(statuses(again)).toEqual(['UNVERIFIED']);
    expect(verifyCa(again, caId, await proofOf(CODE))).toEqual(refuse('WRONG_VERIFY_CODE'));
    expect(statuses(taken(verifyCa(again, caId, await proofOf('new code'))))).toEqual(['TRUSTED']);
  });

  it.each<[string, Wish, Refusal]>([
    ['is a device', {}, refuse('NOT_A_CA')],
    ['says that it is none', { ca: false }, refuse('NOT_A_CA')],
    ['may not sign certificates', { ca: true, signs: 'DATA' }, refuse('NOT_A_CA')],
    ['is for servers only', { ca: true, usages: [SERVER_AUTH] }, refuse('NOT_A_CA')],
    ['has expired', { ca: true, notAfterMs: NOW_MS - 1000 }, refuse('CA_NOT_CURRENT')],
    ['is of the future', { ca: true, notBeforeMs: NOW_MS + 1000 }, refuse('CA_NOT_CURRENT')],
  ])('refuses one that %s', async (_name, wish, refusal) => {
    expect(registerCa(NOTHING_TRUSTED, newCa(await issue('odd', wish)))).toEqual(refusal);
  });

  it('takes a hundred and no more, until one is deleted', () => {
    const [first] = set.cas;
    const others = Array.from({ length: 100 }, (_, n) => ({ ...first, caId: `${n}` }) as TrustSet['cas'][number]);
    const full = { ...set, cas: others };
    expect(registerCa(full, newCa(ca))).toEqual(refuse('TOO_MANY_CAS'));
    expect(taken(registerCa(taken(deleteCa(full, '7')), newCa(ca))).cas).toHaveLength(100);
  });
});

describe('verifyCa', () => {
  it('trusts a CA whose key has signed the code', async () => {
    const trusted = await verified();
    expect(statuses(trusted)).toEqual(['TRUSTED']);
    expect([...viewOf(trusted).trustedCas.keys()]).toEqual([caId]);
    expect(verifyCa(trusted, caId, await proofOf('anything'))).toBe(trusted);
  });

  it('refuses what proves nothing', async () => {
    const stranger = await issue('ca', { ca: true });
    const refusals = await Promise.all([
      proofOf(CODE, { issuer: stranger }),
      proofOf(CODE, { issuer: ca, forged: true }),
      proofOf(CODE, {}),
      proofOf('another code'),
      proofOf(`${CODE}\nCN=x`),
      proofOf(`x,CN=${CODE}`),
      proofOf(CODE, { issuer: ca, notAfterMs: NOW_MS - 1 }),
      proofOf(CODE, { issuer: ca }, NOW_MS + 2 * DAY_MS),
    ]).then((proofs) => proofs.map((proof) => verifyCa(set, caId, proof)));
    expect(refusals).toEqual([
      refuse('NOT_SIGNED_BY_CA'),
      refuse('NOT_SIGNED_BY_CA'),
      refuse('NOT_SIGNED_BY_CA'),
      refuse('WRONG_VERIFY_CODE'),
      refuse('WRONG_VERIFY_CODE'),
      refuse('WRONG_VERIFY_CODE'),
      refuse('VERIFICATION_NOT_CURRENT'),
      refuse('CA_NOT_CURRENT'),
    ]);
  });

  it('knows neither a stranger nor a disabled one', async () => {
    expect(verifyCa(set, 'ff'.repeat(32), await proofOf(CODE))).toEqual(refuse('CA_UNKNOWN'));
    expect(verifyCa(taken(disableCa(set, caId)), caId, await proofOf(CODE))).toEqual(refuse('CA_DISABLED'));
  });
});

describe('disableCa and deleteCa', () => {
  it('end the trust, and only what is not trusted is forgotten', async () => {
    const trusted = await verified();
    expect(deleteCa(trusted, caId)).toEqual(refuse('CA_TRUSTED'));
    const disabled = taken(disableCa(trusted, caId));
    expect([statuses(disabled), viewOf(disabled).trustedCas.size]).toEqual([['DISABLED'], 0]);
    expect(disableCa(disabled, caId)).toBe(disabled);
    expect(taken(deleteCa(disabled, caId))).toEqual(NOTHING_TRUSTED);
    expect(caIn(taken(deleteCa(set, caId)), caId)).toBeUndefined();
  });

  it('know no stranger', () => {
    expect(disableCa(set, 'ff'.repeat(32))).toEqual(refuse('CA_UNKNOWN'));
    expect(deleteCa(set, 'ff'.repeat(32))).toEqual(refuse('CA_UNKNOWN'));
  });
});

describe('disabled certificates', () => {
  const certificate = (fingerprint: string) => ({ fingerprint, disabledAtMs: NOW_MS, note: 'stolen' });

  it('are kept once, in order, with the first note', () => {
    const some = ['0b', '0a00', '0c', '0a'].reduce<TrustSet>(
      (before, fingerprint) => taken(disableCertificate(before, certificate(fingerprint))),
      NOTHING_TRUSTED,
    );
    expect(some.disabled.map(({ fingerprint }) => fingerprint)).toEqual(['0a', '0a00', '0b', '0c']);
    expect(disableCertificate(some, { ...certificate('0b'), note: 'again' })).toBe(some);
    expect([...viewOf(some).disabled]).toEqual(['0a', '0a00', '0b', '0c']);
  });

  it('are enabled again', () => {
    const one = taken(disableCertificate(NOTHING_TRUSTED, certificate('0a')));
    expect(enableCertificate(one, '0a')).toEqual(NOTHING_TRUSTED);
    expect(enableCertificate(one, '0b')).toEqual(refuse('NOT_DISABLED'));
  });

  it('are a thousand a set at most', () => {
    const disabled = Array.from({ length: 1_000 }, (_, n) => certificate(String(n)));
    expect(disableCertificate({ ...NOTHING_TRUSTED, disabled }, certificate('x'))).toEqual(refuse('TOO_MANY_DISABLED'));
  });
});

describe('keys of sets', () => {
  it('are no device ids, and each fingerprint has one', () => {
    expect(DISABLED_KEYS).toHaveLength(256);
    expect(DISABLED_KEYS.every((key) => isTrustKey(key) && parseTrustKey(key) === key)).toBe(true);
    expect([disabledKeyOf('00ff'), disabledKeyOf('ff00'), parseTrustKey(CAS_KEY)]).toEqual(['.00', '.ff', '.cas']);
    expect(['.CAS', '.0', '.000', 'cas', '', '.0g'].map(parseTrustKey)).toEqual(Array(6).fill(undefined));
    expect(isTrustKey('cas')).toBe(false);
  });

  it('a CA that cannot be read is not trusted', () => {
    const broken = { caId: 'x', der: Buffer.from('broken'), status: 'TRUSTED', verifyCode: '' } as const;
    expect(viewOf({ ...NOTHING_TRUSTED, cas: [broken] }).trustedCas.size).toBe(0);
  });
});
