import { hash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { connect, createServer, type Server } from 'node:tls';
import { describe, expect, test } from 'vitest';
import type { DeviceRecord } from './device.ts';
import type { PskDerivation, PskHash, PskProof } from './proof.ts';
import { masterSecret, prf } from './psk.ts';
import { pskSecrets } from './psk-secrets.ts';
import { fingerprints, PRIMARY_ID, record, SECONDARY_ID, secrets } from './test-devices.ts';
import { context, NOW_MS } from './test-pki.ts';
import { DEFAULT_SETTINGS, deny } from './verdict.ts';
import { verify } from './verify.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Published on the mailing list of the TLS working group for P_SHA256 and P_SHA384. */
test.each([
  {
    algorithm: 'sha256',
    secret: '9bbe436ba940f017b17652849a71db35',
    seed: 'a0ba9f936cda311827a6f796ffd5198c',
    output:
      'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66',
  },
  {
    algorithm: 'sha384',
    secret: 'b80b733d6ceefcdc71566ea48e5567df',
    seed: 'cd665cf6a8447dd6ff8b27555edb7465',
    output:
      '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f',
  },
] as const)('the pseudo-random function over $algorithm', ({ algorithm, secret, seed, output }) => {
  const bytes = output.length / 2;
  expect(prf(algorithm, hex(secret), { label: 'test label', seed: hex(seed) }, bytes).toString('hex')).toBe(output);
});

/** SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL. */
const NO_EXTENDED_MASTER_SECRET = 1;

type Handshake = { readonly randoms: Buffer; readonly sessionHash: Buffer; readonly master: Buffer };

/** A TLS 1.2 handshake of OpenSSL with itself, seen from between: what the master secret was made of, and what it was. */
async function openSslHandshake(key: Buffer, options: { ciphers: string; secureOptions: number }, prfHash: PskHash) {
  const common = { ...options, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
  const server = createServer({ ...common, pskCallback: () => key }, (socket) => socket.end());
  let master: Buffer | undefined;
  server.on('keylog', (line) => {
    master = hex(line.toString('latin1').trim().split(' ')[2] ?? '');
  });
  const seen = { client: Buffer.alloc(0), server: Buffer.alloc(0) };
  const relay = createTcpServer((near) => {
    const far = connectTcp(portOf(server), '127.0.0.1');
    near.on('data', (bytes: Buffer) => (seen.client = Buffer.concat([seen.client, bytes])));
    far.on('data', (bytes: Buffer) => (seen.server = Buffer.concat([seen.server, bytes])));
    near.pipe(far).pipe(near);
  });
  await Promise.all([server, relay].map((one) => once(one.listen(0, '127.0.0.1'), 'listening')));
  const client = connect({
    ...common,
    host: '127.0.0.1',
    port: portOf(relay),
    pskCallback: () => ({ psk: key, identity: 'a-device' }),
    checkServerIdentity: () => undefined,
  });
  await once(client, 'close');
  server.close();
  relay.close();
  return handshakeOf(seen, master ?? Buffer.alloc(0), prfHash);
}

function portOf(server: Server | TcpServer): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** ClientHello, ServerHello … ServerHelloDone, ClientKeyExchange: all that RFC 7627 3 hashes, in its order. */
function handshakeOf(seen: { client: Buffer; server: Buffer }, master: Buffer, prfHash: PskHash): Handshake {
  const [hello, exchange] = messagesOf(seen.client);
  const answers = messagesOf(seen.server);
  if (hello === undefined || exchange === undefined || answers[0] === undefined) throw new Error('no handshake');
  // A random stands behind the message's header (4 bytes) and the version (2 bytes).
  const randoms = Buffer.concat([hello.subarray(6, 38), answers[0].subarray(6, 38)]);
  return { randoms, sessionHash: hash(prfHash, Buffer.concat([hello, ...answers, exchange]), 'buffer'), master };
}

/** The handshake messages up to ChangeCipherSpec; each record here holds whole ones. */
function messagesOf(stream: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; stream[at] === 22; at += 5 + stream.readUInt16BE(at + 3)) {
    const end = at + 5 + stream.readUInt16BE(at + 3);
    for (let start = at + 5; start < end; ) {
      const length = 4 + stream.readUIntBE(start + 1, 3);
      // NewSessionTicket (4) comes after the client's Finished and is not part of it.
      if (stream[start] !== 4) messages.push(stream.subarray(start, start + length));
      start += length;
    }
  }
  return messages;
}

describe('the master secret is that of OpenSSL', () => {
  const secret = 'abcdef0123456789';
  const suites = [
    { ciphers: 'PSK-AES128-GCM-SHA256', hash: 'sha256' },
    { ciphers: 'PSK-AES256-GCM-SHA384', hash: 'sha384' },
  ] as const;
  const formats = [
    { format: 'TEXT', key: Buffer.from(secret) },
    { format: 'HEX', key: hex(secret) },
  ] as const;
  const cases = suites.flatMap((suite) => formats.map((format) => ({ ...suite, ...format })));

  test.each(cases)('$ciphers, a $format secret, from the randoms', async ({ ciphers, hash, format, key }) => {
    const handshake = await openSslHandshake(key, { ciphers, secureOptions: NO_EXTENDED_MASTER_SECRET }, hash);
    const seed = { kind: 'RANDOMS', bytes: handshake.randoms } as const;
    const derived = masterSecret(secret, format, { hash, seed, ecdheSecret: new Uint8Array() });
    expect(derived.toString('hex')).toBe(handshake.master.toString('hex'));
  });

  test.each(cases)('$ciphers, a $format secret, from the session hash', async ({ ciphers, hash, format, key }) => {
    const handshake = await openSslHandshake(key, { ciphers, secureOptions: 0 }, hash);
    const seed = { kind: 'SESSION_HASH', bytes: handshake.sessionHash } as const;
    const derived = masterSecret(secret, format, { hash, seed, ecdheSecret: new Uint8Array() });
    expect(derived.toString('hex')).toBe(handshake.master.toString('hex'));
  });
});

const DERIVATION: PskDerivation = {
  hash: 'sha256',
  seed: { kind: 'RANDOMS', bytes: Buffer.alloc(64, 5) },
  ecdheSecret: new Uint8Array(),
};

function finishOf(secret: string, change: Partial<PskProof> = {}): PskProof {
  const transcriptHash = Buffer.alloc(32, 6);
  const master = masterSecret(secret, 'TEXT', DERIVATION);
  const verifyData = prf('sha256', master, { label: 'client finished', seed: transcriptHash }, 12);
  return { kind: 'PSK', derivation: DERIVATION, transcriptHash, verifyData, ...change };
}

describe('verify: the finish of a handshake', () => {
  const device = record(secrets('primary-1', 'secondary-1'));
  const coap = context({ protocol: 'COAP' });

  test('grants the primary, and the secondary where a setting takes it', () => {
    expect(verify(device, finishOf('primary-1'), coap)).toMatchObject({ slot: 'PRIMARY', credentialId: PRIMARY_ID });
    expect(verify(device, finishOf('secondary-1'), coap)).toEqual(deny('SECONDARY_NOT_ACCEPTED'));
    const settings = { ...DEFAULT_SETTINGS, coapAcceptsSecondary: true };
    const both = context({ protocol: 'COAP', settings });
    expect(verify(device, finishOf('secondary-1'), both)).toMatchObject({
      slot: 'SECONDARY',
      credentialId: SECONDARY_ID,
    });
  });

  test.each([
    { what: 'of another key', proof: finishOf('neither-1') },
    { what: 'of another transcript', proof: finishOf('primary-1', { transcriptHash: Buffer.alloc(32, 7) }) },
    {
      what: 'cut short',
      proof: finishOf('primary-1', { verifyData: finishOf('primary-1').verifyData.subarray(0, 11) }),
    },
    { what: 'empty', proof: finishOf('primary-1', { verifyData: new Uint8Array() }) },
  ])('refuses one $what', ({ proof }) => {
    expect(verify(device, proof, coap)).toEqual(deny('SECRET_MISMATCH'));
  });

  test('lets nobody in where there is nothing', () => {
    expect(verify(undefined, finishOf('-'.repeat(32)), coap)).toEqual(deny('UNKNOWN_DEVICE'));
    expect(verify(record(secrets('')), finishOf(''), coap)).toEqual(deny('NO_CREDENTIAL'));
    expect(verify(record(fingerprints('a'.repeat(64))), finishOf('primary-1'), coap)).toEqual(deny('WRONG_KIND'));
  });
});

describe('the master secrets of a handshake', () => {
  const random = (bytes: number) => Buffer.alloc(bytes, 9);
  const derive = (device: DeviceRecord | undefined, coapAcceptsSecondary = false) =>
    pskSecrets(device, DERIVATION, {
      nowMs: NOW_MS,
      settings: { ...DEFAULT_SETTINGS, coapAcceptsSecondary },
      random,
    });
  const chance = masterSecret('09'.repeat(32), 'HEX', DERIVATION);

  test('are those of its secrets; of the secondary only where CoAP takes it', () => {
    const device = record(secrets('primary-1', 'secondary-1'));
    const [primary, secondary] = ['primary-1', 'secondary-1'].map((one) => masterSecret(one, 'TEXT', DERIVATION));
    expect(derive(device)).toEqual({ primary, secondary: undefined });
    expect(derive(device, true)).toEqual({ primary, secondary });
    expect(derive(record(secrets('primary-1'), { frozen: true }))).toEqual({ primary, secondary: undefined });
  });

  test.each([
    { what: 'there is no device', device: undefined },
    { what: 'it shows a certificate', device: record(fingerprints('a'.repeat(64))) },
    { what: 'its slots are empty', device: record(secrets()) },
    { what: 'a slot holds the empty secret', device: record(secrets('', '')) },
  ])('are of chance where $what', ({ device }) => {
    expect(derive(device, true)).toEqual({ primary: chance, secondary: chance });
  });

  test('are of chance once its retirement is due', () => {
    const retirement = { credentialId: PRIMARY_ID, when: { atMs: NOW_MS } };
    expect(derive(record(secrets('primary-1'), { retirement }))).toEqual({ primary: chance, secondary: undefined });
  });
});
