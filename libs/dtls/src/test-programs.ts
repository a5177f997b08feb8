import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How a client program is run. */
export type Run = {
  readonly program: string;
  readonly args: readonly string[];
  /** What it is told on its standard input, which then stays open. */
  readonly input?: string;
  /** It is ended once its output has this. */
  readonly until: RegExp;
};

/** The slowest of them gives up after some 8 s by itself, later on a busy machine. */
const GIVE_UP_MS = 25_000;

/** All that the program printed until it said what was waited for, or ended, or time was up. */
export async function outputOf({ program, args, input, until }: Run): Promise<string> {
  const child = spawn(program, args, { stdio: 'pipe' });
  let output = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const hear = (chunk: Buffer) => {
    output += chunk.toString('latin1');
    if (until.test(output)) resolve();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  // A program that has ended does not read.
  child.stdin.on('error', () => {});
  child.once('error', reject);
  const closed = new Promise<void>((done) => {
    child.once('close', () => {
      resolve();
      done();
    });
  });
  const timer = setTimeout(resolve, GIVE_UP_MS);
  if (input !== undefined) child.stdin.write(input);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
  await closed;
  return output;
}

/** A key and its self-signed certificate, as files in PEM and as they are. */
export type TestCertificate = {
  readonly keyFile: string;
  readonly certificateFile: string;
  readonly key: string;
  readonly certificate: string;
};

/** Makes certificates with OpenSSL in a folder of their own; `remove` takes it away. */
export function makeCertificates<Name extends string>(
  kinds: Readonly<Record<Name, readonly string[]>>,
): { readonly certificates: Readonly<Record<Name, TestCertificate>>; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'dtls-'));
  const made = Object.entries<readonly string[]>(kinds).map(([name, newKey]) => {
    const [keyFile, certificateFile] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
    const request = [
      'req',
      '-x509',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-addext',
      'keyUsage=digitalSignature',
    ];
    execFileSync('openssl', [...request, '-newkey', ...newKey, '-keyout', keyFile, '-out', certificateFile], {
      stdio: 'ignore',
    });
    const [key, certificate] = [readFileSync(keyFile, 'utf8'), readFileSync(certificateFile, 'utf8')];
    return [name, { keyFile, certificateFile, key, certificate }];
  });
  return { certificates: Object.fromEntries(made), remove: () => rmSync(folder, { recursive: true }) };
}
