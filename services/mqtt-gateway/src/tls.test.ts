import 'reflect-metadata/lite';
import { KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { denied, granted } from '@latchkey/gateway-kit/testing';
import { type AuthenticateRequest, ChangeKind, DenyReason, SessionEffect } from '@latchkey/protocol/v1';
import * as x509 from '@peculiar/x509';
import type { IClientOptions } from 'mqtt';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Bench, closed, dial, dialIn, login, mosquittoPub, startBench } from './test-bench.ts';

type Pair = { readonly cert: string; readonly key: string };

const EC_KEY = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
let folder: string;
let server: Pair;
let selfSigned: Pair;
let ca: Pair;
let issued: Pair;
let bench: Bench;
let asked: AuthenticateRequest[];
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  server = await selfSignedPair('localhost');
  selfSigned = await selfSignedPair('device');
  ({ ca, issued } = await issuedPair());
  folder = await mkdtemp(join(tmpdir(), 'latchkey-mqtts-'));
  await writeFile(join(folder, 'server.pem'), server.cert);
  await writeFile(join(folder, 'device.pem'), selfSigned.cert);
  await writeFile(join(folder, 'device.key'), selfSigned.key);
  bench = await startBench({ identity: () => ({ cert: Buffer.from(server.cert), key: Buffer.from(server.key) }) });
});
beforeEach(() => {
  asked = [];
  bench.table.answer = (attempt) => {
    asked.push(attempt);
    return granted(`${attempt.deviceId}-1`, 1n);
  };
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});
afterAll(async () => {
  await bench.stop();
  await rm(folder, { recursive: true });
});

async function selfSignedPair(name: string): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
  const extensions = [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }])];
  const options = { serialNumber: '01', name: `CN=${name}`, keys, signingAlgorithm, extensions };
  return pairOf(await x509.X509CertificateGenerator.createSelfSigned(options, webcrypto), keys.privateKey);
}

async function issuedPair(): Promise<{ readonly ca: Pair; readonly issued: Pair }> {
  const caKeys = await webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
  const authority = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '02',
      name: 'CN=Devices',
      keys: caKeys,
      signingAlgorithm,
      extensions: [new x509.BasicConstraintsExtension(true)],
    },
    webcrypto,
  );
  const keys = await webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
  const leaf = await x509.X509CertificateGenerator.create(
    {
      serialNumber: '03',
      subject: 'CN=device',
      issuer: authority.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm,
    },
    webcrypto,
  );
  return { ca: pairOf(authority, caKeys.privateKey), issued: pairOf(leaf, keys.privateKey) };
}

function pairOf(certificate: x509.X509Certificate, privateKey: webcrypto.CryptoKey): Pair {
  const key = KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
  return { cert: `${certificate.toString('pem')}\n`, key };
}

/** SHA-256 fingerprints of the chain that the service was asked about. */
function askedChain(): readonly string[] {
  const kind = asked[0]?.proof?.kind;
  return kind?.case === 'certificate' ? kind.value.chain.map((der) => new X509Certificate(der).fingerprint256) : [];
}

function fingerprints(...pairs: readonly Pair[]): readonly string[] {
  return pairs.map(({ cert }) => new X509Certificate(cert).fingerprint256);
}

const overTls = () => ({ protocol: 'mqtts' as const, host: 'localhost', ca: server.cert });

async function online(options: IClientOptions & SecureContextOptions) {
  const client = await dialIn(bench.mqtts, { ...overTls(), ...options });
  ends.push(() => client.endAsync(true));
  return client;
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: a self-signed certificate is the proof', async (version) => {
  const { clientId, username } = login('d');
  await online({ clientId, username, ...selfSigned, minVersion: version, maxVersion: version });
  expect(asked).toMatchObject([{ deviceId: 'd', proof: { kind: { case: 'certificate' } } }]);
  expect(askedChain()).toEqual(fingerprints(selfSigned));
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: a chain is passed on, leaf first', async (version) => {
  const { clientId, username } = login('d');
  const cert = issued.cert + ca.cert;
  await online({ clientId, username, cert, key: issued.key, minVersion: version, maxVersion: version });
  expect(askedChain()).toEqual(fingerprints(issued, ca));
});

test('a password beside a certificate, as the Go SDK sends it, does not count', async () => {
  await online({ ...login('d'), ...selfSigned });
  expect(asked[0]?.proof?.kind.case).toBe('certificate');
});

test('a device with a secret needs no certificate', async () => {
  await online(login('d'));
  expect(asked[0]?.proof?.kind.case).toBe('digest');
});

test('neither certificate nor password is 4, and nobody is asked', async () => {
  const { clientId, username } = login('d');
  expect(await dial(bench.mqtts, { ...overTls(), clientId, username })).toBe(4);
  expect(asked).toEqual([]);
});

test.each([
  [DenyReason.FINGERPRINT_MISMATCH, 4],
  [DenyReason.CERTIFICATE_DISABLED, 4],
  [DenyReason.FROZEN, 5],
] as const)('the denial %i is answered with %i over TLS too', async (reason, code) => {
  bench.table.answer = () => denied(reason);
  expect(await dial(bench.mqtts, { ...overTls(), ...login('d'), ...selfSigned })).toBe(code);
});

test('mosquitto_pub gets in with a secret and with a certificate', async () => {
  const { clientId, username, password } = login('d');
  const common = ['-h', 'localhost', '-p', String(bench.mqtts), '--cafile', join(folder, 'server.pem')];
  const message = ['-i', clientId, '-u', username, '-q', '1', '-t', '$oc/devices/d/up', '-m', '{}'];
  const device = ['--cert', join(folder, 'device.pem'), '--key', join(folder, 'device.key')];
  expect(await mosquittoPub([...common, ...message, '-P', password])).toEqual({ code: 0, said: '' });
  expect(await mosquittoPub([...common, ...message, ...device])).toEqual({ code: 0, said: '' });
  expect(asked.map(({ proof }) => proof?.kind.case)).toEqual(['digest', 'certificate']);
});

test('a link over TLS is closed by a change, and by a newer link over plain MQTT', async () => {
  const kicked = closed(await online(login('kicked')));
  bench.table.change({ deviceId: 'kicked', revision: 2n, kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE });
  await kicked;
  const replaced = closed(await online(login('d')));
  const plain = await dialIn(bench.mqtt, login('d'));
  await replaced;
  await plain.endAsync(true);
});

test('a disabled certificate, where it cannot be checked, ends the links with one alone', async () => {
  const secret = await online(login('s'));
  const ended = closed(await online({ ...login('c'), ...selfSigned }));
  bench.table.change({ revision: 2n, kind: ChangeKind.CERTIFICATE_DISABLED, effect: SessionEffect.CHECK_CERTIFICATES });
  await ended;
  await secret.publishAsync('$oc/devices/s/up', 'x', { qos: 1 });
});

function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connectTls({ host: 'localhost', port: bench.mqtts, ca: server.cert, ...options });
    ends.push(() => tls.destroy());
    tls.once('secureConnect', () => resolve(tls)).once('error', reject);
  });
}

test('TLS 1.1 is refused', async () => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
  await expect(handshake(old)).rejects.toThrow(/protocol version|no protocols/i);
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  '%s: no session is resumed, each link proves its key anew',
  async (version) => {
    const options = { minVersion: version, maxVersion: version, ...selfSigned };
    const sessions: Buffer[] = [];
    const first = await handshake(options);
    first.on('session', (session) => sessions.push(session));
    await new Promise((resolve) => setTimeout(resolve, 100));
    first.destroy();
    const session = sessions.at(-1) ?? first.getSession();
    const second = await handshake({ ...options, ...(session && { session }) });
    expect(second.isSessionReused()).toBe(false);
  },
);

test('garbage in place of a handshake ends that connection alone', async () => {
  const plain = await dial(bench.mqtts, login('d')).catch(() => 'closed');
  expect(plain).toBe('closed');
  await online(login('d'));
});

test('SIGHUP has the certificate read again: new links get it, open ones stay; one that does not fit changes nothing', async () => {
  const before = server;
  const kept = await online(login('kept'));
  const renewed = await selfSignedPair('localhost');
  const shown = async () => (await handshake({ rejectUnauthorized: false })).getPeerX509Certificate()?.fingerprint256;
  try {
    server = renewed;
    process.emit('SIGHUP');
    expect(await shown()).toBe(new X509Certificate(renewed.cert).fingerprint256);
    server = { cert: renewed.cert, key: before.key };
    process.emit('SIGHUP');
    expect(await shown()).toBe(new X509Certificate(renewed.cert).fingerprint256);
    expect(bench.logged.join('')).toContain('the TLS certificate stays as it was');
    await kept.publishAsync('$oc/devices/kept/up', 'x', { qos: 1 });
  } finally {
    server = before;
    process.emit('SIGHUP');
  }
});

test('a device with a certificate gets in over WebSocket and TLS', async () => {
  const { clientId, username } = login('d');
  const overWss = { protocol: 'wss', path: '/mqtt', host: 'localhost' } as const;
  const tls = { ca: server.cert, ...selfSigned };
  const client = await dialIn(bench.portOf('wss'), { clientId, username, ...overWss, ...tls });
  ends.push(() => client.endAsync(true));
  expect(askedChain()).toEqual(fingerprints(selfSigned));
});
