import 'reflect-metadata/lite';
import { KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A certificate and its private key, PEM. */
export type Pair = { readonly cert: string; readonly key: string };

/** A CA of a test's own. */
export type Authority = {
  readonly cert: string;
  /** Issues a certificate for a name, good for that DNS name and for 127.0.0.1. */
  readonly issue: (name: string) => Promise<Pair>;
};

const EC_KEY = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };

/** Makes a CA. */
export async function newAuthority(name: string): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: `CN=${name}`,
      keys,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    },
    webcrypto,
  );
  let serial = 1;
  const issue = async (subject: string): Promise<Pair> => {
    const { publicKey, privateKey } = await newKeys();
    const names = new x509.SubjectAlternativeNameExtension([
      { type: 'dns', value: subject },
      { type: 'ip', value: '127.0.0.1' },
    ]);
    const leaf = await x509.X509CertificateGenerator.create(
      {
        serialNumber: (++serial).toString(16).padStart(2, '0'),
        subject: `CN=${subject}`,
        issuer: certificate.subject,
        publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm,
        extensions: [names],
      },
      webcrypto,
    );
    const key = KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
    return { cert: `${leaf.toString('pem')}\n`, key };
  };
  return { cert: `${certificate.toString('pem')}\n`, issue };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
}
