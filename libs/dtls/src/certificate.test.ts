import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ALERT } from './alerts.ts';
import { uint, vector } from './bytes.ts';
import { EXTENSION, HANDSHAKE } from './codes.ts';
import type { Draft } from './outgoing.ts';
import { listenDtls } from './server.ts';
import { SCHEME_CODES, signWith } from './signatures.ts';
import { AlertReceived, extension, TestClient, type TestClientOptions } from './test-client.ts';
import { makeCertificates, type TestCertificate } from './test-programs.ts';
import { startServer, stopServers, type TestServer } from './test-server.ts';

const SUITE = 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8';
const ECDSA_SHA256 = 0x0403;

type Kind = 'server' | 'device' | 'other' | 'ed25519' | 'rsa1024';

let certificates: Readonly<Record<Kind, TestCertificate>>;
let remove: () => void;
const clients: TestClient[] = [];

beforeAll(() => {
  const p256 = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const kinds = { server: p256, device: p256, other: p256, ed25519: ['ed25519'], rsa1024: ['rsa:1024'] };
  ({ certificates, remove } = makeCertificates<Kind>(kinds));
});

afterAll(() => remove());
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopServers();
});

function derOf(kind: Kind): Buffer {
  return new X509Certificate(certificates[kind].certificate).raw;
}

function keyOf(kind: Kind): KeyObject {
  return createPrivateKey(certificates[kind].key);
}

function verifyWith(key: KeyObject, scheme = ECDSA_SHA256): (messages: Buffer) => Draft[] {
  return (messages) => {
    const body = Buffer.concat([uint(2, scheme), vector(2, signWith(ECDSA_SHA256, key, messages))]);
    return [{ type: HANDSHAKE.CERTIFICATE_VERIFY, body }];
  };
}

function start(): Promise<TestServer> {
  return startServer({ certificate: { chain: [derOf('server')], key: keyOf('server') } });
}

function clientOf(server: TestServer, options: TestClientOptions): TestClient {
  const schemes = vector(2, ...SCHEME_CODES.map((code) => uint(2, code)));
  const extensions = [extension(EXTENSION.SIGNATURE_ALGORITHMS, schemes)];
  const client = new TestClient(server.port, { suite: SUITE, extensions, ...options });
  clients.push(client);
  return client;
}

async function refusal(server: TestServer, options: TestClientOptions): Promise<number> {
  const error = await clientOf(server, options)
    .connect()
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(AlertReceived);
  expect(server.attempts).toEqual([]);
  return (error as AlertReceived).description;
}

const ways: readonly (readonly [string, TestClientOptions])[] = [
  ['plainly', {}],
  ['with the master secret of randoms', { hasExtendedMasterSecret: false }],
  ['in fragments, with a connection id', { fragmentBytes: 50, connectionId: Buffer.from('id') }],
  ['backwards', { tamper: (datagrams) => [...datagrams].reverse() }],
];

test.each(ways)('a device that holds its key gets in, %s', async (_way, options) => {
  const server = await start();
  const certificate = { chain: [derOf('device'), derOf('other')], verify: verifyWith(keyOf('device')) };
  const client = await clientOf(server, { certificate, ...options }).connect();
  client.send('hello');
  expect(await client.data()).toBe('echo hello');
  expect(server.attempts.map(({ proof }) => proof)).toEqual([{ kind: 'CERTIFICATE', chain: certificate.chain }]);
});

test('one that shows another’s certificate does not', async () => {
  const server = await start();
  const certificate = { chain: [derOf('device')], verify: verifyWith(keyOf('other')) };
  expect(await refusal(server, { certificate })).toBe(ALERT.DECRYPT_ERROR);
  expect(server.failures.map(({ reason }) => reason)).toEqual(['PROTOCOL_ERROR']);
});

test('nor one that proves nothing, proves other messages, or proves twice', async () => {
  const server = await start();
  const chain = [derOf('device')];
  const key = keyOf('device');
  const nothing = { chain, verify: () => [] };
  const other = { chain, verify: (messages: Buffer) => verifyWith(key)(messages.subarray(1)) };
  const twice = { chain, verify: (messages: Buffer) => [...verifyWith(key)(messages), ...verifyWith(key)(messages)] };
  expect(await refusal(server, { certificate: nothing })).toBe(ALERT.UNEXPECTED_MESSAGE);
  expect(await refusal(server, { certificate: other })).toBe(ALERT.DECRYPT_ERROR);
  expect(await refusal(server, { certificate: twice })).toBe(ALERT.UNEXPECTED_MESSAGE);
});

test('nor one that calls its signature something else', async () => {
  const server = await start();
  for (const scheme of [0x0503, 0x0804, 0x0203, 0]) {
    const certificate = { chain: [derOf('device')], verify: verifyWith(keyOf('device'), scheme) };
    expect(await refusal(server, { certificate })).toBe(ALERT.DECRYPT_ERROR);
  }
});

test('no certificate, junk, a key that is not fit, or too long a chain', async () => {
  const server = await start();
  const verify = verifyWith(keyOf('device'));
  const answers: readonly (readonly [readonly Buffer[], number])[] = [
    [[], ALERT.HANDSHAKE_FAILURE],
    [[Buffer.from('junk')], ALERT.BAD_CERTIFICATE],
    [[Buffer.alloc(0)], ALERT.BAD_CERTIFICATE],
    [[derOf('ed25519')], ALERT.BAD_CERTIFICATE],
    [[derOf('rsa1024')], ALERT.BAD_CERTIFICATE],
    [Array(9).fill(derOf('device')), ALERT.BAD_CERTIFICATE],
  ];
  for (const [chain, alert] of answers) expect(await refusal(server, { certificate: { chain, verify } })).toBe(alert);
});

test('a client that names no signature would take SHA-1, and gets nothing', async () => {
  const server = await start();
  const certificate = { chain: [derOf('device')], verify: verifyWith(keyOf('device')) };
  expect(await refusal(server, { certificate, extensions: [] })).toBe(ALERT.HANDSHAKE_FAILURE);
});

test('a renewed certificate is shown from the next handshake on; one with a key that is not fit changes nothing', async () => {
  const server = await start();
  const certificate = { chain: [derOf('device')], verify: verifyWith(keyOf('device')) };
  const shown = async () => {
    const { datagrams } = await clientOf(server, { certificate }).connect();
    return (['server', 'other'] as const).filter((kind) => Buffer.concat(datagrams).includes(derOf(kind)));
  };
  expect(await shown()).toEqual(['server']);
  server.server.renew({ chain: [derOf('other')], key: keyOf('other') });
  expect(await shown()).toEqual(['other']);
  expect(() => server.server.renew({ chain: [derOf('rsa1024')], key: keyOf('rsa1024') })).toThrow('not fit to sign');
  expect(await shown()).toEqual(['other']);
});

test('a server with a key that is not fit does not start', async () => {
  const key = createPrivateKey(certificates.rsa1024.key);
  const options = {
    certificate: { chain: [derOf('rsa1024')], key },
    admit: async () => ({ isGranted: true, grant: 'x' }) as const,
    onSession: () => ({ message: () => {}, closed: () => {} }),
    onError: () => {},
  };
  await expect(listenDtls(options, { host: '127.0.0.1', port: 0 })).rejects.toThrow('the key is not fit to sign');
  expect(createPublicKey(key).asymmetricKeyDetails?.modulusLength).toBe(1024);
});
