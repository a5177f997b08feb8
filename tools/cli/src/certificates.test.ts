import { spawnSync } from 'node:child_process';
import { randomUUID, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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
    new RegExp(
      `^CA +STATUS +ENDS +NEXT CRL +VERIFY CODE +SUBJECT\n${caId.slice(0, 16)} +trusted +20\\S+ +- +- +O=Pumps`,
    ),
  );
  expect(await cli('ca list --json')).toBe(0);
  expect(JSON.parse(out).cas).toMatchObject([{ caId, status: 'CA_STATUS_TRUSTED', verifyCode: '' }]);
  expect(await cli(`ca register ${at('one.pem')}`)).toBe(5);
  expect(await cli(`ca delete ${caId}`)).toBe(1);
  expect(await cli(`ca disable ${caId} --json`)).toBe(0);
  expect(JSON.parse(out).ca.status).toBe('CA_STATUS_DISABLED');
  expect(await cli(`ca delete ${caId}`)).toBe(0);
  expect([await cli('ca list'), out]).toEqual([0, 'CA  STATUS  ENDS  NEXT CRL  VERIFY CODE  SUBJECT\n']);
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
    'denied: a certificate of the chain was disabled, or its CA has revoked it\n',
  ]);
  await cli(`certificate enable ${at('leaf.pem')}`);
  await cli(`ca disable ${caId}`);
  expect([await cli(`authenticate pump --certificate ${at('leaf.pem')}`), out]).toEqual([
    3,
    'denied: the certificate does not rest on a trusted CA\n',
  ]);
});

/** The newest CRL of a CA in NAME.crl, which revokes these files; its number goes up by one. */
async function newCrl(name: string, ...files: readonly string[]): Promise<void> {
  const config = at(`${name}.cnf`);
  if (!existsSync(config)) {
    await writeFile(
      config,
      `[ca]\ndefault_ca=it\n[it]\ndatabase=${at(`${name}.db`)}\ncrlnumber=${at(`${name}.number`)}\n`,
    );
    await writeFile(at(`${name}.db`), '');
    await writeFile(at(`${name}.number`), '09\n');
  }
  const ca = ['ca', '-config', config, '-cert', at(`${name}.pem`), '-keyfile', at(`${name}.key`), '-md', 'sha256'];
  for (const file of files) openssl(...ca, '-revoke', at(`${file}.pem`));
  openssl(...ca, '-gencrl', '-crldays', '30', '-out', at(`${name}.crl`));
}

test('the CRL of a CA shuts out what it revokes, until it is deleted', async () => {
  newCa('five');
  const [caId = ''] = await fingerprints('five');
  await cli(`ca register ${at('five.pem')}`);
  issue('five', 'proof', /verify code +(\S+)/.exec(out)?.[1] ?? '');
  await newCrl('five');
  expect([await cli(`ca crl set ${caId} ${at('five.crl')}`), err]).toEqual([
    1,
    "latchkey: possession of the CA's key is not proven yet; verify it first\n",
  ]);
  await cli(`ca verify ${caId} ${at('proof.pem')}`);
  issue('five', 'leaf-5', 'pump');
  await cli('device create pump-5 --trust-on-first-use');
  expect(await cli(`ca crl set ${caId.slice(0, 12)} ${at('five.crl')}`)).toBe(0);
  expect(out).toMatch(/\nCRL +number 9 of 20\S+Z, next by 20\S+Z, revokes 0\n$/);
  expect(await cli(`authenticate pump-5 --certificate ${at('leaf-5.pem')}`)).toBe(0);
  await copyFile(at('five.crl'), at('older.crl'));
  await newCrl('five', 'leaf-5');
  openssl('crl', '-in', at('five.crl'), '-outform', 'DER', '-out', at('five.der'));
  expect(await cli(`ca crl set ${caId} ${at('five.der')} --json`)).toBe(0);
  expect(JSON.parse(out).ca.crl).toMatchObject({ number: '10', revokedCount: 1 });
  expect(await cli(`authenticate pump-5 --certificate ${at('leaf-5.pem')}`)).toBe(3);
  expect([await cli(`ca crl set ${caId} ${at('older.crl')}`), err]).toEqual([
    1,
    'latchkey: crl: it is not newer, by number and date, than the one that is kept\n',
  ]);
  expect([await cli('ca list'), out]).toEqual([
    0,
    expect.stringMatching(/ trusted +20\S+ +20\S+ +- +O=Pumps, CN=five\n/),
  ]);
  expect([await cli(`ca crl delete ${caId}`), out]).toEqual([0, `deleted the CRL of ${caId}\n`]);
  expect(await cli(`authenticate pump-5 --certificate ${at('leaf-5.pem')}`)).toBe(0);
  expect([await cli(`ca crl delete ${caId}`), err]).toEqual([4, 'latchkey: the CA has no CRL\n']);
});

test.each([
  ['ca', 2, 'a command is missing'],
  ['ca register', 2, "missing required argument 'file'"],
  ['ca register /does/not/exist', 2, 'ENOENT'],
  ['ca verify xyz /dev/null', 2, 'no id of a CA'],
  ['ca disable', 2, "missing required argument 'id'"],
  ['ca disable ffff', 4, 'no CA begins with ffff'],
  [`ca disable ${'ff'.repeat(32)}`, 4, 'there is no such CA'],
  [`ca crl set ${'ff'.repeat(32)} /dev/null`, 2, 'crl'],
  [`ca crl set ${'ff'.repeat(32)} /etc/hostname`, 4, 'there is no such CA'],
  [`ca crl delete ${'ff'.repeat(32)}`, 4, 'there is no such CA'],
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
