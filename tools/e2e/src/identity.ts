// A polyfill that @peculiar/x509 wants to find before it is loaded.
import 'reflect-metadata/lite';
import { KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { X509CertificateGenerator } from '@peculiar/x509';

/** A device's own self-signed certificate. */
export type Identity = {
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
  /** SHA-256 and SHA-1 of the certificate, hex without colons. */
  readonly sha256: string;
  readonly sha1: string;
};

const DAY_MS = 86_400_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A key pair for certificates. */
export function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** The private key, PEM. */
export function keyPem({ privateKey }: webcrypto.CryptoKeyPair): string {
  return String(KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }));
}

/** A certificate that is good from yesterday to tomorrow, PEM; each has another fingerprint. */
export async function selfSigned(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const made = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: `01${randomBytes(8).toString('hex')}`,
      name: 'CN=a device',
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
    },
    webcrypto,
  );
  return made.toString('pem');
}

/** Makes a certificate with files in a new folder inside `dir`. */
export async function newIdentity(dir: string): Promise<Identity> {
  const keys = await newKeys();
  const certificate = await selfSigned(keys);
  const folder = await mkdtemp(join(dir, 'device-'));
  const paths = { certificate: join(folder, 'device.pem'), key: join(folder, 'device.key') };
  await writeFile(paths.certificate, certificate);
  await writeFile(paths.key, keyPem(keys), { mode: 0o600 });
  const { fingerprint, fingerprint256 } = new X509Certificate(certificate);
  return { ...paths, sha1: fingerprint.replaceAll(':', ''), sha256: fingerprint256.replaceAll(':', '') };
}
