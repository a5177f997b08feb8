import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Identity } from './identity.ts';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A CA of openssl's making, and the way to have it sign. */
export type Ca = Identity & {
  /** A certificate of this common name below the CA, with files in a new folder. */
  readonly issue: (name: string) => Identity;
  /** Revokes certificates; gives the path of the CA's next CRL. */
  readonly revoke: (...identities: readonly Identity[]) => string;
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
  return { ...identityOf({ key, certificate }), issue, revoke: revoker(folder, { key, certificate }) };
}

function revoker(folder: string, { key, certificate }: Pick<Identity, 'key' | 'certificate'>): Ca['revoke'] {
  const at = (name: string) => join(folder, name);
  const [config, database, number, crl] = [at('ca.cnf'), at('index'), at('number'), at('ca.crl')];
  writeFileSync(config, `[ca]\ndefault_ca=it\n[it]\ndatabase=${database}\ncrlnumber=${number}\n`);
  writeFileSync(database, '');
  writeFileSync(number, '01\n');
  const ca = ['ca', '-config', config, '-cert', certificate, '-keyfile', key, '-md', 'sha256'];
  return (...identities) => {
    for (const revoked of identities) openssl(...ca, '-revoke', revoked.certificate);
    openssl(...ca, '-gencrl', '-crldays', '7', '-out', crl);
    return crl;
  };
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
