import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { CONTENT, DTLS_1_2, HANDSHAKE } from './codes.ts';
import { COOKIE_KEY_LIFE_MS } from './cookies.ts';
import { writeFragment, writeMessage } from './fragments.ts';
import { readRecords, writeRecord } from './records.ts';
import { listenDtls } from './server.ts';
import { TestClient, type TestClientOptions } from './test-client.ts';
import { startServer, stopServers, type TestServer, until } from './test-server.ts';

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

function recordOf(message: Parameters<typeof writeMessage>[0], sequence = 0): Buffer {
  const header = { type: CONTENT.HANDSHAKE, version: DTLS_1_2, epoch: 0, sequence, connectionId: Buffer.alloc(0) };
  return writeRecord({ ...header, fragment: writeMessage(message) });
}

/** A hello that was good for one handshake, as it went out. */
async function spentHello(client: TestClient): Promise<Buffer> {
  return recordOf(await client.greet(), 1);
}

describe('before the cookie came back', () => {
  test('the answer is shorter than the question, bears its numbers, and nothing is kept', async () => {
    const server = await startServer();
    const client = newClient(server);
    const question = recordOf(client.hello(Buffer.alloc(0), 3), 77);
    client.sendRaw(question);
    await until(() => client.datagrams.length === 1);
    const [answer = Buffer.alloc(0)] = client.datagrams;
    expect(answer.length).toBeLessThan(question.length);
    const [record] = [...readRecords(answer, 0)];
    expect(record).toMatchObject({ type: CONTENT.HANDSHAKE, epoch: 0, sequence: 77 });
    expect(record?.fragment[0]).toBe(HANDSHAKE.HELLO_VERIFY_REQUEST);
    expect(record?.fragment.readUInt16BE(4)).toBe(3);
    expect(server.server.handshakeCount).toBe(0);
  });

  test('even the shortest hello is longer than its answer', async () => {
    const server = await startServer();
    const client = newClient(server);
    const shortest = Buffer.from(`fefd${'00'.repeat(32)}00000002c0a80100`, 'hex');
    client.sendRaw(recordOf({ type: HANDSHAKE.CLIENT_HELLO, messageSequence: 0, body: shortest }));
    await until(() => client.datagrams.length === 1);
    expect(client.datagrams[0]?.length).toBeLessThan(13 + 12 + shortest.length);
  });

  test('a cookie of another address is none', async () => {
    const server = await startServer();
    const hello = await spentHello(newClient(server));
    const thief = newClient(server);
    thief.sendRaw(hello);
    await until(() => server.server.counters.helloVerifyRequests === 2);
    expect(server.server.counters.handshakes).toBe(1);
  });

  test('a cookie lives for one change of the key and not for two', async () => {
    let nowMs = 0;
    const server = await startServer({ clock: () => nowMs });
    const cookieOf = async (client: TestClient) => {
      client.sendRaw(recordOf(client.hello(Buffer.alloc(0), 0)));
      await until(() => client.datagrams.length === 1);
      return client.datagrams[0]?.subarray(13 + 12 + 3) ?? Buffer.alloc(0);
    };
    const [young, old] = [newClient(server), newClient(server)];
    const [youngCookie, oldCookie] = [await cookieOf(young), await cookieOf(old)];
    nowMs = COOKIE_KEY_LIFE_MS;
    young.sendRaw(recordOf(young.hello(youngCookie, 1)));
    await until(() => server.server.counters.handshakes === 1);
    nowMs = 2 * COOKIE_KEY_LIFE_MS;
    old.sendRaw(recordOf(old.hello(oldCookie, 1)));
    await until(() => server.server.counters.helloVerifyRequests === 3);
    expect(server.server.counters.handshakes).toBe(1);
  });

  test('a cookie does not outlive a time in which nobody came', async () => {
    let nowMs = 0;
    const server = await startServer({ clock: () => nowMs });
    const client = newClient(server);
    client.sendRaw(recordOf(client.hello(Buffer.alloc(0), 0)));
    await until(() => client.datagrams.length === 1);
    nowMs = 2 * COOKIE_KEY_LIFE_MS;
    client.sendRaw(recordOf(client.hello(client.datagrams[0]?.subarray(13 + 12 + 3) ?? Buffer.alloc(0), 1)));
    await until(() => server.server.counters.helloVerifyRequests === 2);
    expect(server.server.counters.handshakes).toBe(0);
  });

  test('a hello in pieces, or with other messages beside it, is dropped', async () => {
    const server = await startServer();
    const client = newClient(server);
    const { body, ...message } = client.hello(Buffer.alloc(0), 0);
    const header = { type: CONTENT.HANDSHAKE, version: DTLS_1_2, epoch: 0, sequence: 0, connectionId: Buffer.alloc(0) };
    const piece = { ...message, length: body.length, offset: 0, bytes: body.subarray(0, 40) };
    client.sendRaw(writeRecord({ ...header, fragment: writeFragment(piece) }));
    const whole = writeMessage({ ...message, body });
    client.sendRaw(writeRecord({ ...header, fragment: Buffer.concat([whole, whole]) }));
    await until(() => server.server.counters.dropped === 2);
    expect(client.datagrams).toEqual([]);
  });
});

test('a hello whose record leaves no numbers for the answer is dropped', async () => {
  const server = await startServer();
  const client = newClient(server);
  client.sendRaw(recordOf(client.hello(Buffer.alloc(0), 0), 2 ** 48 - 1));
  client.sendRaw(recordOf(client.hello(Buffer.alloc(0), 9), 0));
  await until(() => server.server.counters.dropped === 2);
  expect(client.datagrams).toEqual([]);
});

describe('a hello that comes again', () => {
  test('during its handshake: the flight is sent once more', async () => {
    let nowMs = 0;
    const server = await startServer({ clock: () => nowMs, limits: { retransmitMs: 60_000 } });
    const client = newClient(server, { retransmitMs: 60_000 });
    const hello = await spentHello(client);
    await until(() => client.datagrams.length === 2);
    nowMs = 15_000;
    client.sendRaw(hello);
    client.sendRaw(hello);
    await until(() => client.datagrams.length === 3);
    expect(server.server.handshakeCount).toBe(1);
  });

  test('long after it opened a session: nothing begins, and no key looks wrong', async () => {
    const server = await startServer();
    const client = newClient(server);
    let hello: Buffer = Buffer.alloc(0);
    const tamper = (datagrams: readonly Buffer[]) => {
      hello = datagrams.find((datagram) => datagram[13] === HANDSHAKE.CLIENT_HELLO && datagram[18] === 1) ?? hello;
      return datagrams;
    };
    const late = newClient(server, { tamper });
    await late.connect();
    await client.connect();
    late.sendRaw(hello);
    late.send('still mine');
    expect(await late.data()).toBe('echo still mine');
    expect(server.server.counters.handshakes).toBe(2);
    expect(server.server.handshakeCount).toBe(0);
    expect(server.failures).toEqual([]);
  });

  test('with another random: the address begins anew', async () => {
    const server = await startServer({ limits: { retransmitMs: 60_000 } });
    const first = newClient(server, { retransmitMs: 60_000 });
    await first.greet();
    await until(() => first.datagrams.length === 2); // what is for this one, the next one must not hear
    expect(server.server.handshakeCount).toBe(1);
    await new TestClient(server.port, { socketOf: first }).connect();
    expect(server.failures.map(({ reason }) => reason)).toEqual(['REPLACED']);
    expect(server.server.handshakeCount).toBe(0);
  });
});

describe('limits', () => {
  const busy = { derive: () => new Promise<never>(() => {}) };

  async function shedWith(limits: Record<string, number>): Promise<void> {
    const server = await startServer({ ...busy, limits });
    await newClient(server).greet();
    await newClient(server).greet();
    await until(() => server.server.counters.handshakes === 2);
    await newClient(server).greet();
    await until(() => server.server.counters.shed > 0);
    expect(server.server.handshakeCount).toBe(2);
  }

  test('handshakes in flight', () => shedWith({ handshakes: 2 }));
  test('handshakes in flight of one address', () => shedWith({ handshakesPerAddress: 2 }));
  test('sessions, handshakes that may become one included', () => shedWith({ sessions: 2 }));

  test('what is over does not count', async () => {
    const server = await startServer({ limits: { handshakes: 1, handshakesPerAddress: 1 } });
    for (const key of [undefined, 'wrong', undefined, 'wrong', undefined]) {
      const client = newClient(server, key === undefined ? {} : { key: Buffer.from(key) });
      await client.connect().catch(() => {});
    }
    expect(server.server.counters).toMatchObject({ handshakes: 5, established: 3, failed: 2, shed: 0 });
  });

  test('what was shed may come again with the same cookie', async () => {
    const server = await startServer({ limits: { sessions: 1 } });
    await newClient(server).connect();
    const waiting = newClient(server).connect();
    await until(() => server.server.counters.shed > 0);
    server.sessions[0]?.close();
    await waiting;
    expect(server.server.sessionCount).toBe(1);
  });
});

test('it listens on IPv6', async () => {
  const options = {
    admit: async () => ({ isGranted: true, grant: 'x' }) as const,
    onSession: () => ({ message: () => {}, closed: () => {} }),
    onError: () => {},
  };
  const server = await listenDtls(options, { host: '::1', port: 0 });
  const socket = createSocket('udp6');
  const hello = Buffer.from(`fefd${'00'.repeat(32)}00000002c0a80100`, 'hex');
  socket.send(recordOf({ type: HANDSHAKE.CLIENT_HELLO, messageSequence: 0, body: hello }), server.address.port, '::1');
  const [answer] = await once(socket, 'message');
  expect(answer[13]).toBe(HANDSHAKE.HELLO_VERIFY_REQUEST);
  socket.close();
  await server.close();
});

test('a taken port is told to the caller', async () => {
  const { port } = await startServer();
  const options = {
    admit: async () => ({ isGranted: true, grant: 'x' }) as const,
    onSession: () => ({ message: () => {}, closed: () => {} }),
    onError: () => {},
  };
  await expect(listenDtls(options, { host: '127.0.0.1', port })).rejects.toThrow('EADDRINUSE');
});
