import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ALERT, alertBody } from './alerts.ts';
import type { DerivePsk, DtlsServerOptions } from './api.ts';
import { uint, vector } from './bytes.ts';
import { CONTENT, EXTENSION } from './codes.ts';
import { verifyData } from './key-schedule.ts';
import { deriveFromKeys } from './psk.ts';
import { listenDtls } from './server.ts';
import { SUITES } from './suites.ts';
import { AlertReceived, extension, TestClient, type TestClientOptions } from './test-client.ts';
import { IDENTITY, KEY, startServer, stopServers, type TestServer, until } from './test-server.ts';

const clients: TestClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopServers();
});

function newClient(server: TestServer, options: TestClientOptions = {}): TestClient {
  const client = new TestClient(server.port, options);
  clients.push(client);
  return client;
}

/** The alert that a client gets instead of a session. */
async function refusal(server: TestServer, options: TestClientOptions = {}): Promise<number> {
  const error = await newClient(server, options)
    .connect()
    .then(
      () => undefined,
      (reason: unknown) => reason,
    );
  expect(error).toBeInstanceOf(AlertReceived);
  return (error as AlertReceived).description;
}

const derive = deriveFromKeys(async (identity) => (identity.toString() === IDENTITY ? KEY : undefined));

const unheard = () => ({ message: () => {}, closed: () => {} });

/** A lookup that takes its time. */
function deriveAfter(waitMs: number): typeof derive {
  return async (derivation, peer) => {
    await pause(waitMs);
    return derive(derivation, peer);
  };
}

describe('a pre-shared key', () => {
  const names = SUITES.filter(({ keyExchange }) => keyExchange.endsWith('PSK')).map(({ name }) => name);

  test.each(names)('%s', async (suite) => {
    const server = await startServer();
    const client = await newClient(server, { suite }).connect();
    client.send('hello');
    expect(await client.data()).toBe('echo hello');
    expect(server.sessions.map((session) => session.suite)).toEqual([suite]);
  });

  test.each(['TLS_PSK_WITH_AES_128_CCM_8', 'TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384'])(
    'the master secret of randoms, where the client knows no other: %s',
    async (suite) => {
      const server = await startServer();
      await newClient(server, { suite, hasExtendedMasterSecret: false }).connect();
      expect(server.attempts[0]?.proof).toMatchObject({ derivation: { seed: { kind: 'RANDOMS' } } });
    },
  );

  test('admit gets all that an authority needs to judge by itself', async () => {
    const masters: Uint8Array[] = [];
    const server = await startServer({
      derive: async (derivation, peer) => {
        const derived = await derive(derivation, peer);
        masters.push(...derived.map((master) => Uint8Array.from(master)));
        return derived;
      },
    });
    const client = await newClient(server, { suite: 'TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256' }).connect();
    const [attempt] = server.attempts;
    expect(attempt).toMatchObject({
      suite: 'TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256',
      peer: { address: '127.0.0.1', port: client.localPort },
      proof: {
        kind: 'PSK',
        derivation: { identity: Buffer.from(IDENTITY), hash: 'sha256', seed: { kind: 'SESSION_HASH' } },
      },
    });
    const proof = attempt?.proof as Extract<NonNullable<typeof attempt>['proof'], { kind: 'PSK' }>;
    const expected = verifyData('sha256', masters[0] ?? Buffer.alloc(0), 'client', proof.transcriptHash);
    expect(proof.verifyData).toEqual(expected);
  });
});

describe('one of two keys', () => {
  const [primary, secondary] = [Buffer.from('primary'), Buffer.from('secondary')];
  const both: DerivePsk = async (derivation, peer) => {
    const masters = [primary, secondary].map((key) => deriveFromKeys(async () => key)(derivation, peer));
    return (await Promise.all(masters)).flat();
  };
  const suites = ['TLS_PSK_WITH_AES_128_CCM_8', 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256'];

  describe.each(suites)('%s', (suite) => {
    test.each([
      [0, primary],
      [1, secondary],
    ])('either opens, and admit hears that it is %i', async (candidate, key) => {
      const server = await startServer({ derive: both });
      const client = await newClient(server, { suite, key, connectionId: Buffer.from('id') }).connect();
      client.send('hello');
      expect(await client.data()).toBe('echo hello');
      expect(server.attempts[0]?.proof).toMatchObject({ candidate });
    });

    test('a third does not', async () => {
      const server = await startServer({ derive: both });
      expect(await refusal(server, { suite, key: Buffer.from('third') })).toBe(ALERT.DECRYPT_ERROR);
    });
  });
});

describe('who is refused', () => {
  test('a wrong key and an unknown identity get the same answer at the same point', async () => {
    const server = await startServer();
    expect(await refusal(server, { key: Buffer.from('another') })).toBe(ALERT.DECRYPT_ERROR);
    expect(await refusal(server, { identity: 'nobody' })).toBe(ALERT.DECRYPT_ERROR);
    const [wrong, unknown] = clients.map(({ datagrams }) => datagrams.map(({ length }) => length));
    expect(wrong).toEqual(unknown);
    expect(server.failures.map(({ reason, identity }) => `${reason} ${identity}`)).toEqual([
      `WRONG_KEY ${IDENTITY}`,
      'WRONG_KEY nobody',
    ]);
    expect(server.attempts).toEqual([]);
    expect(server.server.handshakeCount).toBe(0);
  });

  test.each(['TLS_PSK_WITH_AES_128_CBC_SHA256', 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256'])(
    'a wrong key with %s',
    async (suite) => {
      const server = await startServer();
      expect(await refusal(server, { suite, key: Buffer.from('another') })).toBe(ALERT.DECRYPT_ERROR);
    },
  );

  test('a wrong key with a connection id', async () => {
    const server = await startServer();
    const options = { connectionId: Buffer.from('me'), key: Buffer.from('another') };
    expect(await refusal(server, options)).toBe(ALERT.DECRYPT_ERROR);
  });

  test('a Finished that says something else', async () => {
    const server = await startServer();
    expect(await refusal(server, { finished: (body) => Buffer.from(body).reverse() })).toBe(ALERT.DECRYPT_ERROR);
    expect(server.attempts).toEqual([]);
  });

  test('a Finished in clear, right as it may be: it is not heard', async () => {
    const server = await startServer();
    const client = newClient(server, { finishedEpoch: 0, giveUpMs: 400 });
    await expect(client.connect()).rejects.toThrow('the server says nothing');
    expect(server.attempts).toEqual([]);
    expect(server.server.handshakeCount).toBe(1);
  });

  test.each(['DECRYPT_ERROR', 'ACCESS_DENIED', 'INTERNAL_ERROR'] as const)(
    'whom admit refuses with %s',
    async (alert) => {
      const server = await startServer({ admit: async () => ({ isGranted: false, alert }) });
      expect(await refusal(server)).toBe(ALERT[alert]);
      expect(server.failures.map(({ reason }) => reason)).toEqual(['REFUSED']);
      expect(server.sessions).toEqual([]);
    },
  );

  const undecided: readonly [string, Partial<DtlsServerOptions<string>>][] = [
    ['derive rejects', { derive: () => Promise.reject(new Error('away')) }],
    ['derive gives something else', { derive: async () => [Buffer.alloc(47)] }],
    ['derive gives nothing', { derive: async () => [] }],
    ['admit rejects', { admit: () => Promise.reject(new Error('away')) }],
  ];
  test.each(undecided)('everybody while %s', async (_name, options) => {
    const server = await startServer(options);
    expect(await refusal(server)).toBe(ALERT.INTERNAL_ERROR);
    expect(server.failures.map(({ reason }) => reason)).toEqual(['NO_DECISION']);
    expect(server.server.handshakeCount).toBe(0);
  });

  test.each(['', 'x'.repeat(257)])('an identity of %#', async (identity) => {
    const server = await startServer();
    expect(await refusal(server, { identity })).toBe(ALERT.ILLEGAL_PARAMETER);
  });

  test('the longest identity is none of them', async () => {
    const server = await startServer({ derive: deriveFromKeys(async () => KEY) });
    await newClient(server, { identity: 'x'.repeat(256) }).connect();
  });
});

describe('what is agreed on', () => {
  test('nothing: no common suite', async () => {
    const server = await startServer({ suites: ['TLS_PSK_WITH_AES_128_GCM_SHA256'] });
    expect(await refusal(server)).toBe(ALERT.HANDSHAKE_FAILURE);
    expect(server.failures.map(({ reason }) => reason)).toEqual(['NO_AGREEMENT']);
  });

  test('no pre-shared keys where nobody can derive', async () => {
    const options = { admit: async () => ({ isGranted: true, grant: 'x' }) as const, onError: () => {} };
    const server = await listenDtls({ ...options, onSession: unheard }, { host: '127.0.0.1', port: 0 });
    const client = new TestClient(server.address.port);
    clients.push(client);
    await expect(client.connect()).rejects.toThrow(`alert ${ALERT.HANDSHAKE_FAILURE}`);
    await server.close();
  });

  test('the smaller records that a client asks for', async () => {
    const server = await startServer();
    const maxFragmentLength = extension(EXTENSION.MAX_FRAGMENT_LENGTH, uint(1, 1));
    await newClient(server, { extensions: [maxFragmentLength] }).connect();
    const [session] = server.sessions;
    expect(session?.maxDataBytes).toBe(512);
    expect(() => session?.send(Buffer.alloc(513))).toThrow(new RangeError('more than 512 bytes'));
  });

  test('no size that there is not', async () => {
    const server = await startServer();
    const extensions = [extension(EXTENSION.MAX_FRAGMENT_LENGTH, uint(1, 5))];
    expect(await refusal(server, { extensions })).toBe(ALERT.ILLEGAL_PARAMETER);
  });

  test('a group that both know', async () => {
    const server = await startServer();
    const suite = 'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256';
    const groups = (...codes: number[]) => [
      extension(EXTENSION.SUPPORTED_GROUPS, vector(2, ...codes.map((code) => uint(2, code)))),
    ];
    await newClient(server, { suite, extensions: groups(23) }).connect();
    await newClient(server, { suite, extensions: groups(25, 29) }).connect();
    expect(await refusal(server, { suite, extensions: groups(25) })).toBe(ALERT.HANDSHAKE_FAILURE);
  });
});

describe('messages on their way', () => {
  const suite = 'TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256';

  test.each([1, 7, 40])('in fragments of %i bytes, backwards and twice', async (fragmentBytes) => {
    const server = await startServer();
    const tamper = (datagrams: readonly Buffer[]) => [...datagrams, ...datagrams].reverse();
    const client = await newClient(server, { suite, fragmentBytes, tamper }).connect();
    client.send('whole');
    expect(await client.data()).toBe('echo whole');
  });

  test('a whole flight in one datagram', async () => {
    const server = await startServer();
    await newClient(server, { suite, tamper: (datagrams) => [Buffer.concat(datagrams)] }).connect();
  });

  test('a Finished that comes before everything else, while the key is looked up', async () => {
    const server = await startServer({ derive: deriveAfter(100) });
    await newClient(server, { suite, tamper: (datagrams) => [...datagrams].reverse() }).connect();
    expect(server.failures).toEqual([]);
  });

  test('forged records among the early ones do not make the key wrong', async () => {
    const server = await startServer({ derive: deriveAfter(100) });
    const forge = (datagrams: readonly Buffer[]) => {
      const last = datagrams.at(-1) ?? Buffer.alloc(0);
      const forged = Buffer.from(last);
      forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
      return last.readUInt16BE(3) === 1 ? [forged, ...datagrams.slice(0, -1).reverse(), last] : datagrams;
    };
    await newClient(server, { tamper: (datagrams) => forge(datagrams), retransmitMs: 5_000 }).connect();
    expect(server.failures).toEqual([]);
  });

  test('a lookup of 3.5 s, while the client repeats its flight', async () => {
    const server = await startServer({ derive: deriveAfter(3_500) });
    const client = await newClient(server, { retransmitMs: 250 }).connect();
    client.send('patience');
    expect(await client.data()).toBe('echo patience');
    // HelloVerifyRequest, the server's flight, the last flight, the echo: repetitions were dropped in silence.
    expect(client.datagrams).toHaveLength(4);
    expect(server.attempts).toHaveLength(1);
  });

  test('alerts in clear are ignored: they could be anybody’s', async () => {
    const server = await startServer();
    const alert = Buffer.from('15fefd000000000000000900020228', 'hex');
    const client = newClient(server, { tamper: (datagrams) => [alert, ...datagrams] });
    await client.connect();
    client.sendRaw(alert);
    client.send('still here');
    expect(await client.data()).toBe('echo still here');
  });

  test('a sealed alert ends the handshake', async () => {
    const server = await startServer();
    const alert = () => client.seal(alertBody('INTERNAL_ERROR'), CONTENT.ALERT);
    const client: TestClient = newClient(server, {
      tamper: (datagrams) => (datagrams.length === 3 ? [...datagrams.slice(0, 2), alert()] : datagrams),
      giveUpMs: 500,
    });
    const connecting = client.connect().catch(() => 'nothing');
    await until(() => server.failures.length === 1);
    expect(server.failures[0]?.message).toBe('the client ended the handshake');
    expect(await connecting).toBe('nothing');
    expect(client.alerts).toEqual([]);
  });

  test('a client that falls silent is forgotten', async () => {
    const server = await startServer({ limits: { handshakeMs: 300 } });
    await newClient(server).greet();
    await until(() => server.server.handshakeCount === 1);
    await until(() => server.failures.length === 1);
    expect(server.failures[0]?.reason).toBe('TIMED_OUT');
    expect(server.server.handshakeCount).toBe(0);
  });

  test('an answer that comes after the end is dropped, and so is a failure to answer', async () => {
    const waiting: { resolve: (masters: readonly Uint8Array[]) => void; reject: (error: Error) => void }[] = [];
    const server = await startServer({
      limits: { handshakeMs: 200 },
      derive: () => new Promise((resolve, reject) => waiting.push({ resolve, reject })),
    });
    const connecting = [1, 2]
      .map(() => newClient(server, { retransmitMs: 60_000, giveUpMs: 1_000 }))
      .map((client) => client.connect().catch(() => 'nothing'));
    await until(() => server.failures.length === 2);
    waiting[0]?.resolve([Buffer.alloc(48)]);
    waiting[1]?.reject(new Error('late'));
    await pause(20);
    expect(server.failures.map(({ reason }) => reason)).toEqual(['TIMED_OUT', 'TIMED_OUT']);
    expect(server.attempts).toEqual([]);
    expect(server.errors).toEqual([]);
    expect(await Promise.all(connecting)).toEqual(['nothing', 'nothing']);
  });
});
