import { createPrivateKey, X509Certificate } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { deriveFromKeys } from './psk.ts';
import type { ServerCertificate } from './server-messages.ts';
import { SUITES } from './suites.ts';
import { makeCertificates, outputOf, type TestCertificate } from './test-programs.ts';
import { IDENTITY, KEY, startServer, stopServers, type TestServer, type TestServerOptions } from './test-server.ts';

const KEY_HEX = KEY.toString('hex');

/** Programs start slowly on a busy machine. */
const TIMEOUT_MS = 30_000;

type Kind = 'server-ec' | 'server-rsa' | 'client-ec' | 'client-p384' | 'client-rsa';

let certificates: Readonly<Record<Kind, TestCertificate>>;
let remove: () => void;

beforeAll(() => {
  const p256 = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  ({ certificates, remove } = makeCertificates<Kind>({
    'server-ec': p256,
    'server-rsa': ['rsa:2048'],
    'client-ec': p256,
    'client-p384': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    'client-rsa': ['rsa:2048'],
  }));
});

afterAll(() => remove());
afterEach(stopServers);

function serverCertificate(kind: Kind): ServerCertificate {
  const { certificate, key } = certificates[kind];
  return { chain: [new X509Certificate(certificate).raw], key: createPrivateKey(key) };
}

/** openssl s_client: says hello and prints what comes back. */
function openssl({ port }: TestServer, args: readonly string[]): Promise<string> {
  const connect = ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${port}`];
  return outputOf({
    program: 'openssl',
    args: [...connect, ...args],
    input: 'hello\n',
    until: /echo hello|alert number \d+/,
  });
}

function opensslPsk(server: TestServer, cipher: string, key = KEY_HEX, identity = IDENTITY): Promise<string> {
  return openssl(server, ['-psk_identity', identity, '-psk', key, '-cipher', `${cipher}:@SECLEVEL=0`]);
}

/** gnutls-cli, which keeps its output to itself unless it is told not to. */
function gnutls({ port }: TestServer, args: readonly string[]): Promise<string> {
  const connect = ['--udp', '--insecure', '-p', String(port), '127.0.0.1'];
  return outputOf({
    program: 'stdbuf',
    args: ['-o0', 'gnutls-cli', ...connect, ...args],
    input: 'hello\n',
    until: /echo hello|alert \[\d+\]/, // the line on the fatal error comes before the one with the alert
  });
}

/** A GnuTLS priority string of DTLS 1.2 with one key exchange and one cipher. */
function priority(keyExchange: string, cipher: string, mac = 'AEAD'): string {
  return `NONE:+VERS-DTLS1.2:+${keyExchange}:+${cipher}:+${mac}:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+CTYPE-X509`;
}

/** The name that IANA gives is the one of OpenSSL with more words. */
const OPENSSL_PSK: readonly [string, string][] = [
  ['PSK-AES128-GCM-SHA256', 'TLS_PSK_WITH_AES_128_GCM_SHA256'],
  ['PSK-AES256-GCM-SHA384', 'TLS_PSK_WITH_AES_256_GCM_SHA384'],
  ['PSK-CHACHA20-POLY1305', 'TLS_PSK_WITH_CHACHA20_POLY1305_SHA256'],
  ['PSK-AES128-CCM', 'TLS_PSK_WITH_AES_128_CCM'],
  ['PSK-AES256-CCM', 'TLS_PSK_WITH_AES_256_CCM'],
  ['PSK-AES128-CCM8', 'TLS_PSK_WITH_AES_128_CCM_8'],
  ['PSK-AES256-CCM8', 'TLS_PSK_WITH_AES_256_CCM_8'],
  ['PSK-AES128-CBC-SHA256', 'TLS_PSK_WITH_AES_128_CBC_SHA256'],
  ['ECDHE-PSK-CHACHA20-POLY1305', 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256'],
];

const GNUTLS_PSK: readonly [string, string][] = [
  [priority('PSK', 'AES-128-GCM'), 'TLS_PSK_WITH_AES_128_GCM_SHA256'],
  [priority('PSK', 'AES-256-GCM'), 'TLS_PSK_WITH_AES_256_GCM_SHA384'],
  [priority('PSK', 'CHACHA20-POLY1305'), 'TLS_PSK_WITH_CHACHA20_POLY1305_SHA256'],
  [priority('PSK', 'AES-128-CCM'), 'TLS_PSK_WITH_AES_128_CCM'],
  [priority('PSK', 'AES-256-CCM'), 'TLS_PSK_WITH_AES_256_CCM'],
  [priority('PSK', 'AES-128-CCM-8'), 'TLS_PSK_WITH_AES_128_CCM_8'],
  [priority('PSK', 'AES-256-CCM-8'), 'TLS_PSK_WITH_AES_256_CCM_8'],
  [priority('PSK', 'AES-128-CBC', 'SHA256'), 'TLS_PSK_WITH_AES_128_CBC_SHA256'],
];

describe('OpenSSL', { timeout: TIMEOUT_MS }, () => {
  test.each(OPENSSL_PSK)('%s', async (cipher, suite) => {
    const server = await startServer();
    expect(await opensslPsk(server, cipher)).toContain('echo hello');
    expect(server.sessions.map((session) => session.suite)).toEqual([suite]);
  });

  test('chooses ECDHE where it may', async () => {
    const server = await startServer();
    expect(await opensslPsk(server, 'PSK')).toContain('echo hello');
    expect(server.sessions[0]?.suite).toBe('TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256');
  });

  test.each([
    ['a wrong key', '00ff', IDENTITY],
    ['an unknown identity', KEY_HEX, 'nobody'],
  ])('%s: decrypt_error', async (_name, key, identity) => {
    const server = await startServer();
    expect(await opensslPsk(server, 'PSK-AES128-CCM8', key, identity)).toContain('alert number 51');
    expect(server.failures.map(({ reason }) => reason)).toEqual(['WRONG_KEY']);
  });

  test('CBC without encrypt-then-MAC is refused', async () => {
    const server = await startServer();
    const psk = ['-psk_identity', IDENTITY, '-psk', KEY_HEX];
    expect(await openssl(server, [...psk, '-cipher', 'PSK-AES128-CBC-SHA256', '-no_etm'])).toContain('alert number 40');
  });

  test.each([
    ['server-ec', 'client-ec', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
    ['server-ec', 'client-p384', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ['server-ec', 'client-rsa', 'ECDHE-ECDSA-CHACHA20-POLY1305'],
    ['server-ec', 'client-ec', 'ECDHE-ECDSA-AES128-CCM'],
    ['server-ec', 'client-ec', 'ECDHE-ECDSA-AES128-CCM8'],
    ['server-rsa', 'client-rsa', 'ECDHE-RSA-AES128-GCM-SHA256'],
    ['server-rsa', 'client-ec', 'ECDHE-RSA-AES256-GCM-SHA384'],
    ['server-rsa', 'client-rsa', 'ECDHE-RSA-CHACHA20-POLY1305'],
  ] as const)('certificates: %s, %s, %s', async (own, theirs, cipher) => {
    const server = await startServer({ certificate: serverCertificate(own) });
    const client = certificates[theirs];
    const args = ['-cert', client.certificateFile, '-key', client.keyFile, '-cipher', `${cipher}:@SECLEVEL=0`];
    expect(await openssl(server, args)).toContain('echo hello');
    const chain = [new X509Certificate(client.certificate).raw];
    expect(server.attempts.map(({ proof }) => proof)).toEqual([{ kind: 'CERTIFICATE', chain }]);
  });

  test.each(['rsa_pss_rsae_sha256', 'rsa_pkcs1_sha256', 'rsa_pkcs1_sha384'])('signs with %s', async (scheme) => {
    const server = await startServer({ certificate: serverCertificate('server-rsa') });
    const client = certificates['client-rsa'];
    const args = ['-cert', client.certificateFile, '-key', client.keyFile, '-sigalgs', scheme];
    expect(await openssl(server, args)).toContain('echo hello');
  });

  test('no certificate: handshake_failure', async () => {
    const server = await startServer({ certificate: serverCertificate('server-ec') });
    expect(await openssl(server, [])).toContain('alert number 40');
    expect(server.attempts).toEqual([]);
  });

  test('a certificate that admit refuses: bad_certificate', async () => {
    const certificate = serverCertificate('server-ec');
    const server = await startServer({
      certificate,
      admit: async () => ({ isGranted: false, alert: 'BAD_CERTIFICATE' }),
    });
    const client = certificates['client-ec'];
    const args = ['-cert', client.certificateFile, '-key', client.keyFile];
    expect(await openssl(server, args)).toContain('alert number 42');
  });

  test('DTLS 1.0: protocol_version', async () => {
    const server = await startServer();
    const args = ['s_client', '-dtls1', '-connect', `127.0.0.1:${server.port}`, '-cipher', 'ALL:@SECLEVEL=0'];
    const psk = ['-psk_identity', IDENTITY, '-psk', KEY_HEX];
    expect(await outputOf({ program: 'openssl', args: [...args, ...psk], until: /alert number/ })).toContain(
      'alert number 70',
    );
  });

  test('small datagrams: a flight of many fragments', async () => {
    const server = await startServer({ certificate: serverCertificate('server-rsa'), limits: { payloadBytes: 300 } });
    const client = certificates['client-rsa'];
    const args = ['-cert', client.certificateFile, '-key', client.keyFile, '-mtu', '300'];
    expect(await openssl(server, args)).toContain('echo hello');
  });
});

describe('GnuTLS', { timeout: TIMEOUT_MS }, () => {
  const psk = (key = KEY_HEX) => ['--pskusername', IDENTITY, '--pskkey', key];

  test.each(GNUTLS_PSK)('%s', async (cipher, suite) => {
    const server = await startServer();
    expect(await gnutls(server, [...psk(), '--priority', cipher])).toContain('echo hello');
    expect(server.sessions.map((session) => session.suite)).toEqual([suite]);
  });

  test('ECDHE-PSK: the handshake is done; then gnutls-cli 3.7 dies of printing it', async () => {
    const server = await startServer();
    await gnutls(server, [...psk(), '--priority', priority('ECDHE-PSK', 'CHACHA20-POLY1305')]);
    expect(server.sessions.map((session) => session.suite)).toEqual(['TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256']);
  });

  test('a wrong key: decrypt_error', async () => {
    const server = await startServer();
    const args = [...psk('00ff00ff'), '--priority', priority('PSK', 'AES-128-CCM-8')];
    expect(await gnutls(server, args)).toMatch(/Decrypt error|\[51\]/);
  });

  test.each(['client-ec', 'client-rsa'] as const)('certificates: %s', async (kind) => {
    const server = await startServer({ certificate: serverCertificate('server-ec') });
    const client = certificates[kind];
    const files = ['--x509certfile', client.certificateFile, '--x509keyfile', client.keyFile];
    const cipher = ['--priority', priority('ECDHE-ECDSA', 'AES-128-GCM')];
    expect(await gnutls(server, [...files, ...cipher])).toContain('echo hello');
    expect(server.attempts[0]?.proof.kind).toBe('CERTIFICATE');
  });
});

const COAP_CLIENTS = ['coap-client-openssl', 'coap-client-gnutls'];

/** Answers any confirmable request with 2.05 and a text (RFC 7252 5.2.1). */
const READING: TestServerOptions = {
  onSession: (session) => ({
    message: (request) => {
      const token = request.readUInt8(0) & 15;
      const head = Buffer.from([0x60 | token, 0x45, request.readUInt8(2), request.readUInt8(3)]);
      const text = Buffer.from('\xffa reading\n', 'latin1');
      session.send(Buffer.concat([head, request.subarray(4, 4 + token), text]));
    },
    closed: () => {},
  }),
};

function coap(program: string, { port }: TestServer, key: string): Promise<string> {
  const args = ['-B', '5', '-m', 'get', '-u', IDENTITY, '-k', key, `coaps://127.0.0.1:${port}/`];
  return outputOf({ program, args, until: /a reading\n|cannot send/ });
}

describe.each(COAP_CLIENTS)('%s', { timeout: TIMEOUT_MS }, (program) => {
  test('gets its answer', async () => {
    expect(await coap(program, await startServer(READING), KEY.toString())).toContain('a reading');
  });

  test('is refused with a wrong key', async () => {
    const server = await startServer();
    expect(await coap(program, server, 'wrong')).toContain('cannot send');
    expect(server.failures.map(({ reason }) => reason)).toEqual(['WRONG_KEY']);
  });
});

test('clients of libcoap wait for a lookup of 3.5 s, and repeat themselves meanwhile', {
  timeout: TIMEOUT_MS,
}, async () => {
  const derive = deriveFromKeys(async () => {
    await pause(3_500);
    return KEY;
  });
  const server = await startServer({ ...READING, derive });
  const outputs = await Promise.all(COAP_CLIENTS.map((program) => coap(program, server, KEY.toString())));
  for (const output of outputs) expect(output).toContain('a reading');
  expect(server.attempts).toHaveLength(2);
});

test('every suite with a name that these programs know was tried', () => {
  const tried = new Set([...OPENSSL_PSK, ...GNUTLS_PSK].map(([, suite]) => suite));
  const untried = SUITES.filter(({ name, keyExchange }) => keyExchange.endsWith('PSK') && !tried.has(name));
  // RFC 8442: neither OpenSSL 3.0 nor GnuTLS 3.7 speaks them.
  expect(untried.map(({ name }) => name)).toEqual([
    'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256',
    'TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384',
    'TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256',
    'TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256',
  ]);
});
