import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ALERT, alertBody } from './alerts.ts';
import { CONTENT } from './codes.ts';
import { writeMessage } from './fragments.ts';
import { TestClient, type TestClientOptions } from './test-client.ts';
import { startServer, stopServers, type TestServer, until } from './test-server.ts';

const clients: TestClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopServers();
});

async function connected(server: TestServer, options: TestClientOptions = {}): Promise<TestClient> {
  const client = new TestClient(server.port, options);
  clients.push(client);
  return client.connect();
}

async function echo(client: TestClient, text: string): Promise<string> {
  client.send(text);
  return client.data();
}

describe('records', () => {
  test('one that comes twice counts once', async () => {
    const server = await startServer();
    const client = await connected(server);
    const datagram = client.seal('once');
    client.sendRaw(datagram);
    client.sendRaw(datagram);
    client.send('then');
    expect(await client.data()).toBe('echo once');
    expect(await client.data()).toBe('echo then');
    expect(server.server.counters.dropped).toBe(1);
  });

  test('some that come late count', async () => {
    const server = await startServer();
    const client = await connected(server);
    const datagrams = Array.from({ length: 64 }, (_, index) => client.seal(String(index)));
    for (const datagram of datagrams.toReversed()) client.sendRaw(datagram);
    for (const index of datagrams.keys()) expect(await client.data()).toBe(`echo ${63 - index}`);
  });

  test('what was not sealed by the client does nothing', async () => {
    const server = await startServer();
    const client = await connected(server);
    const forged = client.seal('forged');
    forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
    client.sendRaw(forged);
    client.sendRaw(Buffer.from('17fefd00000000000000ff0003616263', 'hex'));
    client.sendRaw(Buffer.from('17fefd00020000000000ff0003616263', 'hex'));
    expect(await echo(client, 'genuine')).toBe('echo genuine');
    expect(client.received).toEqual([]);
  });

  test('more than a record holds is not sent', async () => {
    const server = await startServer();
    await connected(server);
    const [session] = server.sessions;
    expect(session?.maxDataBytes).toBe(2 ** 14);
    expect(() => session?.send(Buffer.alloc(2 ** 14 + 1))).toThrow(new RangeError('more than 16384 bytes'));
  });
});

describe('the end', () => {
  test('by the client: a close_notify is answered by one', async () => {
    const server = await startServer();
    const client = await connected(server);
    client.sendRaw(client.seal(alertBody('CLOSE_NOTIFY'), CONTENT.ALERT));
    await until(() => client.alerts.length === 1);
    expect(client.alerts).toEqual([ALERT.CLOSE_NOTIFY]);
    expect(server.closings).toEqual(['CLOSED_BY_PEER']);
    expect(server.server.sessionCount).toBe(0);
    expect(server.sessions[0]?.send(Buffer.from('late'))).toBe(false);
  });

  test('by a fatal alert, and not by a warning', async () => {
    const server = await startServer();
    const client = await connected(server);
    client.sendRaw(client.seal(Buffer.from([1, 90]), CONTENT.ALERT));
    expect(await echo(client, 'a warning')).toBe('echo a warning');
    client.sendRaw(client.seal(alertBody('INTERNAL_ERROR'), CONTENT.ALERT));
    await until(() => server.closings.length === 1);
    expect(server.closings).toEqual(['PEER_ALERT']);
  });

  test('by the owner, once', async () => {
    const server = await startServer();
    const client = await connected(server);
    server.sessions[0]?.close();
    server.sessions[0]?.close();
    await until(() => client.alerts.length === 1);
    expect(client.alerts).toEqual([ALERT.CLOSE_NOTIFY]);
    expect(server.closings).toEqual(['CLOSED_HERE']);
  });

  test('by the server’s: all are told', async () => {
    const server = await startServer();
    const all = await Promise.all([connected(server), connected(server), connected(server)]);
    await server.server.close();
    await until(() => all.every(({ alerts }) => alerts.length === 1));
    expect(server.closings).toEqual(Array(3).fill('SERVER_CLOSED'));
  });

  test('by silence', async () => {
    const server = await startServer({ limits: { idleMs: 300 } });
    await connected(server);
    await until(() => server.closings.length === 1);
    expect(server.closings).toEqual(['IDLE']);
  });

  test('by forgeries, when there are many', async () => {
    const server = await startServer({ limits: { forgeriesPerSession: 20 } });
    const client = await connected(server);
    const forge = () => client.sendRaw(Buffer.from('17fefd00010000000001000003616263', 'hex'));
    for (let count = 0; count < 19; count++) forge();
    expect(await echo(client, 'still here')).toBe('echo still here');
    forge();
    await until(() => server.closings.length === 1);
    expect(server.closings).toEqual(['FORGERIES']);
  });

  test('by an owner that throws: of the session only', async () => {
    const server = await startServer({
      onSession: () => {
        throw new Error('owner');
      },
    });
    await connected(server);
    await until(() => server.errors.length === 1);
    expect(String(server.errors[0])).toBe('Error: owner');
    expect(server.server.sessionCount).toBe(0);
  });
});

describe('after the handshake', () => {
  test('a client that has not heard the last flight gets it again', async () => {
    const server = await startServer();
    const client = await connected(server);
    const before = client.datagrams.length;
    client.repeatFlight();
    await until(() => client.datagrams.length === before + 1);
    expect(await echo(client, 'heard')).toBe('echo heard');
    client.repeatFlight();
    expect(await echo(client, 'enough')).toBe('echo enough');
    expect(client.datagrams).toHaveLength(before + 3);
  });

  test('a renegotiation is refused and changes nothing', async () => {
    const server = await startServer();
    const client = await connected(server);
    client.sendRaw(client.seal(writeMessage({ ...client.hello(Buffer.alloc(0), 3) }), CONTENT.HANDSHAKE));
    await until(() => client.alerts.length === 1);
    expect(client.alerts).toEqual([ALERT.NO_RENEGOTIATION]);
    client.alerts.length = 0;
    expect(await echo(client, 'as before')).toBe('echo as before');
  });
});

describe('a connection id', () => {
  test('leads to the session from wherever the client sends', async () => {
    const server = await startServer();
    const client = await connected(server, { connectionId: Buffer.from('abc') });
    for (const place of ['one', 'two', 'three']) {
      client.rebind();
      expect(await echo(client, place)).toBe(`echo ${place}`);
      expect(server.sessions[0]?.peer.port).toBe(client.localPort);
    }
    expect(server.sessions).toHaveLength(1);
    expect(server.sessions[0]?.hasConnectionId).toBe(true);
  });

  test('may be empty on the client’s side', async () => {
    const server = await startServer();
    const client = await connected(server, { connectionId: Buffer.alloc(0) });
    client.rebind();
    expect(await echo(client, 'here')).toBe('echo here');
  });

  test('is not given where it is switched off; then a new port is a stranger', async () => {
    const server = await startServer({ hasConnectionId: false });
    const client = await connected(server, { connectionId: Buffer.from('abc') });
    expect(await echo(client, 'here')).toBe('echo here');
    client.rebind();
    client.send('lost');
    await until(() => server.server.counters.dropped === 1);
    expect(server.sessions[0]?.hasConnectionId).toBe(false);
  });

  test('must be in every sealed record', async () => {
    const server = await startServer();
    const client = await connected(server, { connectionId: Buffer.from('abc') });
    client.sendRaw(client.sealWithoutId('without'));
    expect(await echo(client, 'after')).toBe('echo after');
    expect(server.server.counters.dropped).toBe(1);
  });

  test('an old record from elsewhere moves nothing', async () => {
    const server = await startServer();
    const client = await connected(server, { connectionId: Buffer.from('abc') });
    const [older, newer] = [client.seal('older'), client.seal('newer')];
    client.sendRaw(newer);
    expect(await client.data()).toBe('echo newer');
    const elsewhere = createSocket('udp4');
    elsewhere.send(older, server.port, '127.0.0.1');
    expect(await client.data()).toBe('echo older');
    expect(server.sessions[0]?.peer.port).toBe(client.localPort);
    elsewhere.close();
  });

  test('an address that no handshake proved gets little for each record', async () => {
    const server = await startServer();
    const client = await connected(server, { connectionId: Buffer.from('abc') });
    const [session] = server.sessions;
    expect(session?.send(Buffer.alloc(3_000))).toBe(true);
    expect(session?.send(Buffer.alloc(3_000))).toBe(true);
    client.rebind();
    expect(await echo(client, 'moved')).toMatch(/echo moved/);
    expect(session?.send(Buffer.alloc(3_000))).toBe(true);
    expect(session?.send(Buffer.alloc(3_000))).toBe(false);
  });
});

describe('the same address again', () => {
  test('the old session works until the new one is authentic, and ends then', async () => {
    const server = await startServer();
    const old = await connected(server);
    const stranger = new TestClient(server.port, { socketOf: old, key: Buffer.from('wrong') });
    await expect(stranger.connect()).rejects.toThrow('alert 51');
    old.listenAgain();
    expect(await echo(old, 'undisturbed')).toBe('echo undisturbed');
    const young = new TestClient(server.port, { socketOf: old });
    await young.connect();
    expect(server.closings).toEqual(['REPLACED']);
    expect(await echo(young, 'fresh')).toBe('echo fresh');
    expect(server.server.sessionCount).toBe(1);
  });

  test('records of the old session do not make the new key look wrong', async () => {
    const server = await startServer({});
    const old = await connected(server);
    const finished = old.lastFlight().at(-1) ?? Buffer.alloc(0);
    // Late duplicates of the old Finished, right before the new one's key is there.
    const young = new TestClient(server.port, {
      socketOf: old,
      tamper: (datagrams) => [finished, ...datagrams.slice(0, -1), finished, ...datagrams.slice(-1)],
    });
    await young.connect();
    expect(server.failures).toEqual([]);
    await pause(20);
    expect(server.closings).toEqual(['REPLACED']);
  });
});
