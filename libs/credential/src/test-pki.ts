// A polyfill that @peculiar/x509 wants to find before it is loaded.
import 'reflect-metadata';
import { webcrypto, X509Certificate } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';
import { caIdOf } from './authority.ts';
import { DEFAULT_SETTINGS, type VerifyContext } from './verdict.ts';

export { twinOf } from './der.ts';

/** The tests' present: 2026-11-23 08:30 UTC. */
export const NOW_MS = Date.UTC(2026, 10, 23, 8, 30);
/** Milliseconds of a day. */
export const DAY_MS = 86_400_000;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const KEY_USAGES = {
  DATA: KeyUsageFlags.digitalSignature,
  AGREEMENT: KeyUsageFlags.keyAgreement,
  KEYS: KeyUsageFlags.keyEncipherment,
  CERTIFICATES: KeyUsageFlags.keyCertSign,
};

/** A certificate with its key. */
export type Identity = {
  readonly certificate: X509Certificate;
  readonly der: Uint8Array;
  readonly keys: CryptoKeyPair;
};

type CryptoKeyPair = webcrypto.CryptoKeyPair;

/** What a certificate shall be; absent: a leaf from yesterday to tomorrow that signs itself. */
export type Wish = {
  readonly issuer?: Identity;
  /** In hex; absent: 1. */
  readonly serialNumber?: string;
  /** Signs in the issuer's name with a key that is not the issuer's. */
  readonly forged?: boolean;
  readonly ca?: boolean;
  /** Path length of a CA. */
  readonly pathLength?: number;
  /** Critical name constraints. */
  readonly constrained?: boolean;
  /** Extended key usage. */
  readonly usages?: readonly string[];
  /** The extended key usage extension twice, or one that cannot be read. */
  readonly oddUsages?: 'TWICE' | 'BROKEN';
  /** Plain key usage, RFC 5280 section 4.2.1.3; absent: no such extension. */
  readonly signs?: keyof typeof KEY_USAGES;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Its key pair; absent: a new one. */
  readonly keys?: CryptoKeyPair;
};

/** A real certificate of this common name. */
export async function issue(name: string, wish: Wish = {}): Promise<Identity> {
  const keys = wish.keys ?? (await newKeys());
  const signer = wish.forged === true ? await newKeys() : (wish.issuer?.keys ?? keys);
  const made = await X509CertificateGenerator.create({
    serialNumber: wish.serialNumber ?? '01',
    subject: `CN=${name}`,
    issuer: wish.issuer?.certificate.subject ?? `CN=${name}`,
    notBefore: new Date(wish.notBeforeMs ?? NOW_MS - DAY_MS),
    notAfter: new Date(wish.notAfterMs ?? NOW_MS + DAY_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    extensions: extensionsOf(wish),
  });
  const der = new Uint8Array(made.rawData);
  return { certificate: new X509Certificate(der), der, keys };
}

/** A CRL of the CA in DER, of this hour, that revokes these certificates. */
export async function crlOf(ca: Identity, revoked: readonly Identity[], nowMs: number): Promise<Uint8Array> {
  const crl = await X509CrlGenerator.create({
    issuer: ca.certificate.subject,
    thisUpdate: new Date(nowMs - 1_000),
    nextUpdate: new Date(nowMs + DAY_MS),
    entries: revoked.map(({ certificate }) => ({ serialNumber: certificate.serialNumber })),
    signingAlgorithm: ALGORITHM,
    signingKey: ca.keys.privateKey,
  });
  return new Uint8Array(crl.rawData);
}

/** These CAs as trusted ones. */
export function trusting(...cas: readonly Identity[]): VerifyContext['trustedCas'] {
  return new Map(cas.map(({ certificate }) => [caIdOf(certificate), certificate]));
}

/** What the default deployment judges by, over MQTT, now. */
export function context(change: Partial<VerifyContext> = {}): VerifyContext {
  return {
    nowMs: NOW_MS,
    protocol: 'MQTT',
    settings: DEFAULT_SETTINGS,
    trustedCas: new Map(),
    disabled: false,
    ...change,
  };
}

function newKeys(): Promise<CryptoKeyPair> {
  return webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
}

function extensionsOf(wish: Wish): Extension[] {
  return [
    ...(wish.ca === undefined ? [] : [new BasicConstraintsExtension(wish.ca, wish.pathLength, true)]),
    ...(wish.usages === undefined ? [] : [new ExtendedKeyUsageExtension([...wish.usages])]),
    ...oddUsages(wish),
    ...(wish.constrained === true ? [new Extension('2.5.29.30', true, Buffer.from('3000', 'hex'))] : []),
    ...(wish.signs === undefined ? [] : [new KeyUsagesExtension(KEY_USAGES[wish.signs], true)]),
  ];
}

function oddUsages({ oddUsages: odd }: Wish): Extension[] {
  if (odd === undefined) return [];
  const good = new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2']);
  return odd === 'TWICE' ? [good, good] : [new Extension('2.5.29.37', false, Buffer.from('0500', 'hex'))];
}
