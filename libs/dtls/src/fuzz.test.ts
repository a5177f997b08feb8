import { generateKeyPairSync } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { FatalAlert } from './alerts.ts';
import { DecodeError } from './bytes.ts';
import { checkPossession, readClientCertificate } from './client-certificate.ts';
import { readClientHello } from './client-hello.ts';
import { readClientKeyExchange } from './client-key-exchange.ts';
import { EXTENSION } from './codes.ts';
import { readFragments } from './fragments.ts';
import { makeKeyShare } from './key-share.ts';
import { extension, type Network, TestClient, type TestClientOptions } from './test-client.ts';
import { makeMemory } from './test-memory.ts';
import { seeded } from './test-relay.ts';
import { startServer, stopServers, type TestServerOptions, until } from './test-server.ts';

/** More when asked for: `npm run fuzz`. */
const HANDSHAKES = Number(process.env['DTLS_FUZZ_HANDSHAKES'] ?? 10_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? 6347);
const AT_ONCE = 50;

/** Some 1 ms each on an idle machine; the rest is for a busy one. */
const TIMEOUT_MS = 60_000 + HANDSHAKES * 12;

afterEach(stopServers);

type Random = () => number;

function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

/** One to four changes: a byte set to a telling value or any, a tail cut off, bytes put in. */
function mutated(random: Random, datagram: Buffer): Buffer {
  let result = Buffer.from(datagram);
  for (let count = 1 + below(random, 4); count > 0; count--) {
    const at = below(random, result.length + 1);
    const kind = below(random, 5);
    if (kind === 0) result = result.subarray(0, at);
    else if (kind === 1) result = Buffer.concat([result.subarray(0, at), randomBytes(random, 12), result.subarray(at)]);
    else if (at < result.length)
      result.writeUInt8([0, 1, 127, 128, 255, below(random, 256)][below(random, 6)] ?? 0, at);
  }
  return result;
}

function randomBytes(random: Random, most: number): Buffer {
  return Buffer.from(Array.from({ length: below(random, most) }, () => below(random, 256)));
}

/** A flight of which some datagrams are changed, left out, doubled, or in another place. */
function tampered(random: Random, datagrams: readonly Buffer[]): Buffer[] {
  const result = datagrams.flatMap((datagram) => {
    const kind = below(random, 20);
    if (kind < 3) return [mutated(random, datagram)];
    if (kind === 3) return [mutated(random, datagram), datagram];
    if (kind === 4) return [datagram, datagram];
    return kind === 5 ? [] : [datagram];
  });
  return random() < 0.1 ? result.reverse() : result;
}

const SUITES = [
  'TLS_PSK_WITH_AES_128_CCM_8',
  'TLS_PSK_WITH_AES_128_CBC_SHA256',
  'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256',
];

function optionsFor(random: Random, network: Network): TestClientOptions {
  return {
    suite: SUITES[below(random, SUITES.length)] ?? '',
    fragmentBytes: random() < 0.2 ? 1 + below(random, 30) : 1_000,
    hasExtendedMasterSecret: random() < 0.5,
    ...(random() < 0.3 ? { connectionId: randomBytes(random, 20) } : {}),
    extensions:
      random() < 0.2 ? [extension(below(random, 2) * EXTENSION.SUPPORTED_GROUPS, randomBytes(random, 8))] : [],
    tamper: (datagrams) => tampered(random, datagrams),
    network,
  };
}

/** One client's attempt, and whatever it can still send when it is in. */
async function attempt(network: Network, random: Random): Promise<'IN' | 'OUT'> {
  const client = new TestClient(0, optionsFor(random, network));
  try {
    await client.connect();
    const records = [
      client.seal('data'),
      client.seal(randomBytes(random, 3), 21),
      client.seal(randomBytes(random, 40), 22),
    ];
    for (const record of tampered(random, records)) client.sendRaw(record);
    return 'IN';
  } catch {
    return 'OUT';
  } finally {
    client.close();
  }
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

test('handshakes that are tampered with leave nothing behind', { timeout: TIMEOUT_MS }, async () => {
  const limits = {
    handshakeMs: 300,
    idleMs: 300,
    retransmitMs: 1_000,
    handshakes: 10_000,
    handshakesPerAddress: 10_000,
  };
  // What is heard of attempts and failures is not kept: the heap is measured.
  const failures = new Map<string, number>();
  const { network, open } = makeMemory();
  const options: TestServerOptions = {
    limits,
    admit: async () => ({ isGranted: true, grant: 'x' }),
    onSession: () => ({ message: () => {}, closed: () => {} }),
    onFailure: ({ reason }) => failures.set(reason, (failures.get(reason) ?? 0) + 1),
  };
  const server = await startServer(options, open);
  const results = { IN: 0, OUT: 0 };
  const random = seeded(SEED);
  const run = async (handshakes: number) => {
    for (let done = 0; done < handshakes; done += AT_ONCE) {
      const attempts = Array.from({ length: AT_ONCE }, () => attempt(network, seeded(random() * 2 ** 32)));
      for (const result of await Promise.all(attempts)) results[result] += 1;
    }
    await until(() => server.server.handshakeCount === 0 && server.server.sessionCount === 0);
    return heapBytes();
  };
  const before = await run(HANDSHAKES / 2);
  const after = await run(HANDSHAKES / 2);
  expect(server.errors).toEqual([]);
  // Enough of them went far enough to be of use.
  expect(results.IN).toBeGreaterThan(HANDSHAKES / 20);
  expect(results.OUT).toBeGreaterThan(HANDSHAKES / 20);
  expect(failures.get('PROTOCOL_ERROR')).toBeGreaterThan(HANDSHAKES / 200);

  expect(after - before).toBeLessThan(10_000_000);
});

test('readers of any bytes throw what is foreseen and nothing else', () => {
  const { agree } = makeKeyShare(29);
  const readers: readonly ((bytes: Buffer) => unknown)[] = [
    readClientHello,
    readFragments,
    readClientCertificate,
    (bytes) => readClientKeyExchange(bytes, 'ECDHE_PSK'),
    (bytes) => readClientKeyExchange(bytes, 'PSK'),
    (bytes) => readClientKeyExchange(bytes, 'ECDHE_RSA'),
    agree,
    makeKeyShare(23).agree,
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...readers), (bytes, read) => {
      try {
        read(Buffer.from(bytes));
      } catch (error) {
        expect(error instanceof DecodeError || error instanceof FatalAlert).toBe(true);
      }
    }),
    { seed: 9, numRuns: 20_000 },
  );
});

test('no bytes are a signature', () => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
  fc.assert(
    fc.property(fc.constantFrom(0x0403, 0x0503, 0x0804, 0x0401), fc.uint8Array({ maxLength: 80 }), (scheme, bytes) => {
      const body = Buffer.concat([Buffer.from([scheme >> 8, scheme & 255, 0, bytes.length]), bytes]);
      expect(() => checkPossession(body, key, Buffer.from('messages'))).toThrow('does not hold the key');
    }),
    { seed: 10, numRuns: 2_000 },
  );
});
