import 'reflect-metadata/lite';
import { createPrivateKey, KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

/** Where the development certificates of a data directory lie, as paths. */
export type Certificates = {
  /** The CA that clients are to trust, PEM. */
  readonly ca: string;
  /** The servers' certificate, PEM. */
  readonly certificate: string;
  /** Its private key, PKCS #8 PEM, mode 0600. */
  readonly key: string;
};

/** Days that a certificate is good for: browsers refuse more than 397 (CA/Browser Forum baseline requirements, 6.3.2). */
export const VALID_DAYS = 397;

/** Days before its end at which a certificate is remade: a service may run for some days after its start. */
export const RENEW_DAYS = 7;

const DAY_MS = 86_400_000;
/** How far a client's clock may be behind ours. */
const CLOCK_SKEW_MS = 3_600_000;
const EC_KEY = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };
const HOSTS: readonly x509.JsonGeneralName[] = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
];

/**
 * The development certificates in `DIR/tls`, made when they are missing, damaged or within 7 days of their end; `now`
 * is in milliseconds since the epoch. The CA's key is never written: a copied data directory can sign nothing, and
 * new certificates come with a new CA, which clients then have to be given again.
 */
export async function developmentCertificates(dataDir: string, now: number): Promise<Certificates> {
  const folder = join(dataDir, 'tls');
  const paths = {
    ca: join(folder, 'ca.pem'),
    certificate: join(folder, 'server.pem'),
    key: join(folder, 'server.key'),
  };
  if (await areGood(paths, now)) return paths;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const made = await make(now);
  await replace(paths.key, made.key, 0o600);
  await replace(paths.ca, made.ca, 0o644);
  await replace(paths.certificate, made.certificate, 0o644);
  return paths;
}

async function areGood(paths: Certificates, now: number): Promise<boolean> {
  try {
    const ca = new X509Certificate(await readFile(paths.ca));
    const server = new X509Certificate(await readFile(paths.certificate));
    const key = createPrivateKey(await readFile(paths.key));
    const fresh = Date.parse(server.validFrom) <= now && now < Date.parse(server.validTo) - RENEW_DAYS * DAY_MS;
    return fresh && server.checkPrivateKey(key) && server.verify(ca.publicKey);
  } catch {
    // Missing, cut short or not PEM: all of these are mended by making new ones.
    return false;
  }
}

async function make(now: number): Promise<Record<keyof Certificates, string>> {
  const caKeys = await webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
  const serverKeys = await webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
  const notBefore = new Date(now - CLOCK_SKEW_MS);
  // Both ends count (RFC 5280, 4.1.2.5), hence one second less.
  const validity = { notBefore, notAfter: new Date(notBefore.getTime() + VALID_DAYS * DAY_MS - 1000) };
  const ca = await x509.X509CertificateGenerator.createSelfSigned(
    {
      ...validity,
      serialNumber: serialNumber(),
      name: 'CN=Latchkey development CA',
      keys: caKeys,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    },
    webcrypto,
  );
  const server = await x509.X509CertificateGenerator.create(
    {
      ...validity,
      serialNumber: serialNumber(),
      subject: 'CN=localhost',
      issuer: ca.subject,
      publicKey: serverKeys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([...HOSTS]),
        await x509.SubjectKeyIdentifierExtension.create(serverKeys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    },
    webcrypto,
  );
  return {
    ca: `${ca.toString('pem')}\n`,
    certificate: `${server.toString('pem')}\n`,
    key: KeyObject.from(serverKeys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** 15 random bytes behind a fixed one: positive and never zero (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

async function replace(path: string, text: string, mode: number): Promise<void> {
  await writeFile(`${path}.new`, text, { mode });
  await rename(`${path}.new`, path);
}
