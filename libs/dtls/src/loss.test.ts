import { afterEach, describe, expect, test } from 'vitest';
import { TestClient, type TestClientOptions } from './test-client.ts';
import { type Fate, type Relay, startRelay } from './test-relay.ts';
import { startServer, stopServers } from './test-server.ts';

const relays: Relay[] = [];
const clients: TestClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const relay of relays.splice(0)) relay.close();
  await stopServers();
});

/** A client gives up after 8 s, and there are many at once. */
const TIMEOUT_MS = 40_000;

const fates: readonly (readonly [string, Fate])[] = [
  ['three in ten are lost', (random) => (random() < 0.3 ? [] : [1])],
  ['all come three times, some of them late', (random) => [0, 15, random() < 0.33 ? 40 : 1]],
  ['all come in any order', (random) => [random() * 60]],
  ['lost, doubled and late', (random) => (random() < 0.2 ? [] : random() < 0.2 ? [5, 30] : [random() * 40])],
];

const kinds: readonly TestClientOptions[] = [
  {},
  { suite: 'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', fragmentBytes: 20 },
  { suite: 'TLS_PSK_WITH_AES_128_CBC_SHA256', connectionId: Buffer.from('id') },
];

describe.each(fates)('%s', (_name, fate) => {
  test('every handshake ends well, and no key ever looks wrong', { timeout: TIMEOUT_MS }, async () => {
    const server = await startServer({ limits: { handshakeMs: 20_000 } });
    const relay = await startRelay(server.port, fate, 6347);
    relays.push(relay);
    const connecting = Array.from({ length: 30 }, (_, index) => {
      const client = new TestClient(relay.port, {
        ...kinds[index % kinds.length],
        retransmitMs: 150,
        giveUpMs: 30_000,
      });
      clients.push(client);
      return client.connect();
    });
    expect(await Promise.all(connecting)).toHaveLength(30);
    expect(server.failures.filter(({ reason }) => reason !== 'REPLACED' && reason !== 'TIMED_OUT')).toEqual([]);
    expect(server.errors).toEqual([]);
  });
});

test('a wrong key is refused once and only once for each attempt, however often its datagrams come', async () => {
  const server = await startServer();
  const relay = await startRelay(server.port, (random) => [0, 10 + random() * 20, 30], 1);
  relays.push(relay);
  for (const key of ['one', 'two', 'three']) {
    const client = new TestClient(relay.port, { key: Buffer.from(key) });
    clients.push(client);
    await expect(client.connect()).rejects.toThrow('alert 51');
  }
  expect(server.failures.map(({ reason }) => reason)).toEqual(['WRONG_KEY', 'WRONG_KEY', 'WRONG_KEY']);
});
