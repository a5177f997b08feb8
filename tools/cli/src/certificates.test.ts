import { spawnSync } from 'node:child_process';
import { randomUUID, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCli } from './program.ts';
import { START_TIMEOUT_MS, startTestService, type TestService } from './test-service.ts';

vi.setConfig({ testTimeout: START_TIMEOUT_MS, hookTimeout: START_TIMEOUT_MS });

let service: TestService;
let work: string;
let out: string;
let err: string;

beforeAll(async () => {
  service = await startTestService();
  work = await mkdtemp(join(tmpdir(), 'latchkey-ca-'));
});

afterAll(async () => {
  await service.stop();
  await rm(work, { recursive: true });
});

function cli(line: string): Promise<number> {
  [out, err] = ['', ''];
  return runCli(['--data-dir', service.dir, ...line.split(' ')], {
    print: (part) => (out += part),
    complain: (part) => (err += part),
    readInput: async () => '',
    now: () => Date.now(),
    uuid: randomUUID,
    token: undefined,
  });
}

function openssl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl: ${stderr}`);
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const at = (name: string) => join(work, name);

/** A CA in NAME.pem and NAME.key. */
function newCa(name: string): void {
  const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
  openssl('req', '-x509', ...KEY, ...files, '-subj', `/O=Pumps/CN=${name}`);
}

/** A certificate of this common name in FILE.pem, signed by a CA. */
function issue(ca: string, file: string, name: string): void {
  openssl('req', '-new', ...KEY, '-keyout', at(`${file}.key`), '-out', at(`${file}.csr`), '-subj', `/CN=${name}`);
  const signer = ['-CA', at(`${ca}.pem`), '-CAkey', at(`${ca}.key`), '-CAcreateserial'];
  openssl('x509', '-req', '-in', at(`${file}.csr`), ...signer, '-out', at(`${file}.pem`));
}

async function fingerprints(file: string): Promise<string[]> {
  const { fingerprint256, fingerprint } = new X509Certificate(await readFile(at(`${file}.pem`)));
  return [fingerprint256, fingerprint].map((text) => text.replaceAll(':', '').toLowerCase());
}

test('a CA is registered, proven, listed, disabled and forgotten', async () => {
  newCa('one');
  const [caId = ''] = await fingerprints('one');
  expect(await cli(`ca register ${at('one.pem')}`)).toBe(0);
  expect(out).toMatch(
    new RegExp(
      `^CA +${caId}\nstatus +unverified\nsubject +O=Pumps, CN=one\nends +20\\S+Z\nverify code +[0-9a-f]{32}\n$`,
    ),
  );
  expect(err).toMatch(/^it is not trusted yet: sign a certificate/);
  const code = /verify code +(\S+)/.exec(out)?.[1] ?? '';
  issue('one', 'wrong', 'another name');
  expect(await cli(`ca verify ${caId} ${at('wrong.pem')}`)).toBe(1);
  expect(err).toBe('latchkey: verification_certificate: its common name is not the verify code of this CA\n');
  issue('one', 'proof', code);
  expect(await cli(`ca verify ${caId.slice(0, 16)} ${at('proof.pem')}`)).toBe(0);
  expect(out).toMatch(/\nstatus +trusted\n/);
  expect(out).not.toContain('verify code');
  expect(await cli('ca list')).toBe(0);
  expect(out).toMatch(
    new RegExp(`^CA +STATUS +ENDS +VERIFY CODE +SUBJECT\n${caId.slice(0, 16)} +trusted +20\\S+ +- +O=Pumps`),
  );
  expect(await cli('ca list --json')).toBe(0);
  expect(JSON.parse(out).cas).toMatchObject([{ caId, status: 'CA_STATUS_TRUSTED', verifyCode: '' }]);
  expect(await cli(`ca register ${at('one.pem')}`)).toBe(5);
  expect(await cli(`ca delete ${caId}`)).toBe(1);
  expect(await cli(`ca disable ${caId} --json`)).toBe(0);
  expect(JSON.parse(out).ca.status).toBe('CA_STATUS_DISABLED');
  expect(await cli(`ca delete ${caId}`)).toBe(0);
  expect([await cli('ca list'), out]).toEqual([0, 'CA  STATUS  ENDS  VERIFY CODE  SUBJECT\n']);
});

test('a certificate is shut out by its file or by one fingerprint, and let in again', async () => {
  newCa('two');
  const both = await fingerprints('two');
  expect(await cli(`certificate disable ${at('two.pem')} --note stolen`)).toBe(0);
  expect(out).toBe(both.map((one) => `disabled ${one}\n`).join(''));
  expect(await cli('certificate list')).toBe(0);
  const rows = both.toSorted().map((one) => `${one} +20\\S+Z +stolen\n`);
  expect(out).toMatch(new RegExp(`^FINGERPRINT +DISABLED +NOTE\n${rows.join('')}$`));
  expect(await cli('certificate list --limit 1 --json')).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ certificates: [{ note: 'stolen' }], more: true });
  expect(await cli(`certificate enable ${both[0]?.toUpperCase().replaceAll(/..(?=.)/g, '$&:')}`)).toBe(0);
  expect(await cli(`certificate enable ${at('two.pem')} --json`)).toBe(0);
  expect(JSON.parse(out)).toEqual({ enabled: [both[1]] });
  expect(await cli(`certificate enable ${at('two.pem')}`)).toBe(4);
  expect(err).toBe('latchkey: no certificate is disabled by this fingerprint\n');
});

test('a trial tells why a certificate is refused, and a device shows what bound its own', async () => {
  newCa('three');
  const [caId = ''] = await fingerprints('three');
  await cli(`ca register ${at('three.pem')}`);
  issue('three', 'proof', /verify code +(\S+)/.exec(out)?.[1] ?? '');
  expect(await cli(`ca verify ${caId} ${at('proof.pem')}`)).toBe(0);
  issue('three', 'leaf', 'pump');
  expect(await cli('device create pump --trust-on-first-use')).toBe(0);
  expect(await cli(`authenticate pump --certificate ${at('leaf.pem')}`)).toBe(0);
  expect(out).toContain('it would bind the certificate to the primary slot');
  await cli(`certificate disable ${at('leaf.pem')}`);
  expect([await cli(`authenticate pump --certificate ${at('leaf.pem')}`), out]).toEqual([
    3,
    'denied: a certificate of the chain was disabled\n',
  ]);
  await cli(`certificate enable ${at('leaf.pem')}`);
  await cli(`ca disable ${caId}`);
  expect([await cli(`authenticate pump --certificate ${at('leaf.pem')}`), out]).toEqual([
    3,
    'denied: the certificate does not rest on a trusted CA\n',
  ]);
});

test.each([
  ['ca', 2, 'a command is missing'],
  ['ca register', 2, "missing required argument 'file'"],
  ['ca register /does/not/exist', 2, 'ENOENT'],
  ['ca verify xyz /dev/null', 2, 'no id of a CA'],
  ['ca disable', 2, "missing required argument 'id'"],
  ['ca disable ffff', 4, 'no CA begins with ffff'],
  [`ca disable ${'ff'.repeat(32)}`, 4, 'there is no such CA'],
  ['certificate disable /does/not/exist', 2, 'ENOENT'],
  ['certificate disable /dev/null', 2, 'holds no certificate'],
  [`certificate disable ${'ab'.repeat(20)} --note ${'x'.repeat(257)}`, 2, 'note'],
  [`certificate enable ${'00'.repeat(32)}`, 4, 'no certificate is disabled'],
])('%s ends with %i', async (line, code, message) => {
  expect(await cli(`${line} --json`)).toBe(code);
  expect(out).toBe('');
  expect(JSON.parse(err).error.message).toContain(message);
});

test('what is no certificate, or no CA, is told', async () => {
  await writeFile(at('text.pem'), 'no certificate');
  expect(await cli(`ca register ${at('text.pem')}`)).toBe(2);
  expect(err).toBe('latchkey: certificate: not one certificate in PEM\n');
  newCa('four');
  issue('four', 'leaf', 'leaf');
  expect(await cli(`ca register ${at('leaf.pem')}`)).toBe(2);
  expect(err).toContain('no CA for the certificates of clients');
});

test('the help says what a certificate may be', async () => {
  expect(await cli('certificate --help')).toBe(0);
  expect(out).toContain('is its file (PEM or DER), or its SHA-256 or SHA-1 in hex');
  expect(await cli('ca --help')).toBe(0);
  expect(out).toContain('may be the beginning of an id');
});
