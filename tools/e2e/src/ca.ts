import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Identity } from './identity.ts';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A CA of openssl's making, and the way to have it sign. */
export type Ca = Identity & {
  /** A certificate of this common name below the CA, with files in a new folder. */
  readonly issue: (name: string) => Identity;
};

/** Makes a CA that is good for a month, with files in a new folder inside `dir`. */
export function newCa(dir: string): Ca {
  const { key, certificate, folder } = filesIn(dir, 'ca');
  openssl('req', '-x509', ...NEW_KEY, '-keyout', key, '-out', certificate, '-subj', '/CN=the CA of the test');
  const issue = (name: string) => {
    const own = filesIn(folder, 'device');
    const request = join(own.folder, 'request.pem');
    openssl('req', '-new', ...NEW_KEY, '-keyout', own.key, '-out', request, '-subj', `/CN=${name}`);
    const signer = ['-CA', certificate, '-CAkey', key, '-CAcreateserial'];
    openssl('x509', '-req', '-in', request, ...signer, '-out', own.certificate);
    return identityOf(own);
  };
  return { ...identityOf({ key, certificate }), issue };
}

function filesIn(dir: string, name: string) {
  const folder = mkdtempSync(join(dir, `${name}-`));
  return { folder, key: join(folder, 'key.pem'), certificate: join(folder, 'certificate.pem') };
}

function identityOf({ key, certificate }: Pick<Identity, 'key' | 'certificate'>): Identity {
  const { fingerprint, fingerprint256 } = new X509Certificate(readFileSync(certificate));
  return { key, certificate, sha1: fingerprint.replaceAll(':', ''), sha256: fingerprint256.replaceAll(':', '') };
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
