import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkServerIdentity, connect, createServer } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { developmentCertificates, RENEW_DAYS, VALID_DAYS } from './certificates.ts';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 23, 12);
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latchkey-tls-'));
});
afterEach(() => rm(dir, { recursive: true }));

const serverOf = async () => new X509Certificate(await readFile(join(dir, 'tls/server.pem')));
const caOf = async () => new X509Certificate(await readFile(join(dir, 'tls/ca.pem')));

test('the server certificate is for this machine, signed by the CA, and lasts at most 397 days', async () => {
  await developmentCertificates(dir, NOW);
  const [server, ca] = [await serverOf(), await caOf()];
  expect(server.subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1');
  expect([server.ca, ca.ca]).toEqual([false, true]);
  expect(server.checkIssued(ca) && server.verify(ca.publicKey)).toBe(true);
  expect(server.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  for (const certificate of [server, ca]) {
    expect(Date.parse(certificate.validFrom)).toBeLessThan(NOW);
    const spanMs = Date.parse(certificate.validTo) - Date.parse(certificate.validFrom);
    expect(spanMs).toBe(VALID_DAYS * DAY_MS - 1000);
  }
});

test('only the three files are left, and others cannot read the key', async () => {
  const { key } = await developmentCertificates(dir, NOW);
  expect((await readdir(join(dir, 'tls'))).sort()).toEqual(['ca.pem', 'server.key', 'server.pem']);
  expect((await stat(key)).mode & 0o777).toBe(0o600);
});

test.each(['localhost', '127.0.0.1', '::1'])('a TLS client that trusts the CA accepts %s', async (name) => {
  const paths = await developmentCertificates(dir, Date.now());
  const [key, cert, ca] = await Promise.all([readFile(paths.key), readFile(paths.certificate), readFile(paths.ca)]);
  const server = createServer({ key, cert }, (socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = connect({
    ...{ host: '127.0.0.1', port, ca },
    checkServerIdentity: (_, peer) => checkServerIdentity(name, peer),
  });
  await new Promise((resolve, reject) => socket.on('secureConnect', resolve).on('error', reject));
  expect(socket.authorized).toBe(true);
  socket.destroy();
  server.close();
});

test('they are made once, and again from 7 days before their end on', async () => {
  await developmentCertificates(dir, NOW);
  const first = (await serverOf()).fingerprint256;
  const end = Date.parse((await serverOf()).validTo);
  await developmentCertificates(dir, end - RENEW_DAYS * DAY_MS - 1);
  expect((await serverOf()).fingerprint256).toBe(first);
  await developmentCertificates(dir, end - RENEW_DAYS * DAY_MS);
  expect((await serverOf()).fingerprint256).not.toBe(first);
  expect((await serverOf()).verify((await caOf()).publicKey)).toBe(true);
});

test.each(['ca.pem', 'server.pem', 'server.key'])('a damaged %s is mended', async (file) => {
  await developmentCertificates(dir, NOW);
  await writeFile(join(dir, 'tls', file), '-----BEGIN');
  const { key } = await developmentCertificates(dir, NOW);
  expect((await serverOf()).verify((await caOf()).publicKey)).toBe(true);
  expect(await readFile(key, 'utf8')).toContain('END PRIVATE KEY');
});

test('a key of another certificate is not taken', async () => {
  await developmentCertificates(dir, NOW);
  const other = await mkdtemp(join(tmpdir(), 'latchkey-tls-'));
  const foreign = await developmentCertificates(other, NOW);
  await writeFile(join(dir, 'tls/server.key'), await readFile(foreign.key));
  const first = (await serverOf()).fingerprint256;
  await developmentCertificates(dir, NOW);
  expect((await serverOf()).fingerprint256).not.toBe(first);
  await rm(other, { recursive: true });
});
