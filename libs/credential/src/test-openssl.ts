import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a CRL shall say besides the certificates that it revokes. */
export type CrlWish = {
  /** `YYYYMMDDHHMMSSZ`; absent: from now on. */
  readonly thisUpdate?: string;
  readonly nextUpdate?: string;
  /** Extensions, one a line, as in OpenSSL's configuration. */
  readonly extensions?: string;
  readonly digest?: string;
  /** It gets no number. */
  readonly unnumbered?: boolean;
  /** Why certificates are revoked, as OpenSSL names it. */
  readonly reason?: string;
};

/** CAs, certificates and CRLs made by OpenSSL in a folder of their own. */
export class OpenSslCas {
  readonly #folder = mkdtempSync(join(tmpdir(), 'latchkey-crl-'));

  /** The bytes of a file in DER. */
  der(file: string): Buffer {
    return Buffer.from(this.pem(file).replaceAll(/-----[A-Z0-9 ]+-----/g, ''), 'base64');
  }

  pem(file: string): string {
    const text = readFileSync(this.#at(file), 'latin1');
    return text.slice(text.indexOf('-----BEGIN'));
  }

  /** A CA NAME.pem with its key, which signs itself, or is signed by another one. */
  ca(name: string, { key = 'ec', usage = '', issuer = name, subject = `/O=Pumps/CN=${name}` } = {}): void {
    const kind = key === 'ec' ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : [key];
    const request = ['-subj', subject, '-keyout', this.#at(`${name}.key`), '-out', this.#at(`${name}.csr`)];
    this.#run('req', '-new', '-newkey', ...kind, '-nodes', ...request);
    const lines = ['basicConstraints=critical,CA:TRUE', ...(usage === '' ? [] : [`keyUsage=critical,${usage}`])];
    this.#sign(name, issuer, lines.join('\n'));
  }

  /** A certificate NAME.pem that the CA has issued. */
  leaf(name: string, issuer: string): void {
    const request = ['-subj', `/CN=${name}`, '-keyout', this.#at(`${name}.key`), '-out', this.#at(`${name}.csr`)];
    this.#run('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...request);
    this.#sign(name, issuer, '');
  }

  /** The next CRL of a CA, in PEM: it revokes these certificates besides the ones before. */
  crl(name: string, revoked: readonly string[] = [], wish: CrlWish = {}): string {
    const { digest = 'sha256', extensions = '', reason = 'keyCompromise' } = wish;
    const numbered = wish.unnumbered === true ? '' : `crlnumber=${this.#at(`${name}.number`)}\n`;
    if (!existsSync(this.#at(`${name}.db`))) {
      writeFileSync(this.#at(`${name}.db`), '');
      writeFileSync(this.#at(`${name}.number`), '09\n');
    }
    const config = `[ca]\ndefault_ca=it\n[it]\ndatabase=${this.#at(`${name}.db`)}\n${numbered}[ext]\n${extensions}\n`;
    writeFileSync(this.#at(`${name}.cnf`), config);
    const ca = ['ca', '-config', this.#at(`${name}.cnf`), '-cert', this.#at(`${name}.pem`), '-md', digest];
    const keyed = [...ca, '-keyfile', this.#at(`${name}.key`)];
    for (const file of revoked) this.#run(...keyed, '-revoke', this.#at(`${file}.pem`), '-crl_reason', reason);
    const { thisUpdate, nextUpdate } = wish;
    const dates = [
      ...(thisUpdate === undefined ? [] : ['-crl_lastupdate', thisUpdate]),
      ...(nextUpdate === undefined ? ['-crldays', '30'] : ['-crl_nextupdate', nextUpdate]),
    ];
    const out = ['-out', this.#at(`${name}.crl`)];
    this.#run(...keyed, '-gencrl', ...(extensions === '' ? [] : ['-crlexts', 'ext']), ...dates, ...out);
    return this.pem(`${name}.crl`);
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #sign(name: string, issuer: string, extensions: string): void {
    writeFileSync(this.#at(`${name}.ext`), extensions);
    const files = [
      '-in',
      this.#at(`${name}.csr`),
      '-out',
      this.#at(`${name}.pem`),
      '-extfile',
      this.#at(`${name}.ext`),
    ];
    const own = ['-signkey', this.#at(`${name}.key`)];
    const other = ['-CA', this.#at(`${issuer}.pem`), '-CAkey', this.#at(`${issuer}.key`), '-CAcreateserial'];
    this.#run('x509', '-req', ...files, '-days', '60', ...(issuer === name ? own : other));
  }

  #at(file: string): string {
    return join(this.#folder, file);
  }

  #run(...args: readonly string[]): void {
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  }
}
