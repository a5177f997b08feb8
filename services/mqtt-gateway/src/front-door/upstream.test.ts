import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import type { DeviceId } from '@latchkey/kernel';
import { SettingsError } from '@latchkey/runtime';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { type Authority, newAuthority, type Pair } from '../test-certificates.ts';
import { type ConnectPacket, readConnect } from './connect-packet.ts';
import { ACCEPT, connectBytes, firstPacket, startTlsBroker, wireOf } from './test-upstream.ts';
import { secureContextOf, type UpstreamConfig, upstreamOf } from './upstream.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

let authority: Authority;
let broker: Pair;
let gateway: Pair;
beforeAll(async () => {
  authority = await newAuthority('Brokers');
  [broker, gateway] = [await authority.issue('localhost'), await authority.issue('gateway')];
});

const DEVICE = 'd' as DeviceId;

function connectPacket(): ConnectPacket {
  const reading = readConnect(connectBytes('d', 4));
  if (reading.outcome !== 'CONNECT') throw new Error(reading.outcome);
  return reading.connect;
}

async function tlsBroker(pair: Pair, trusted: string) {
  const broker = await startTlsBroker(pair, trusted);
  ends.push(broker.stop);
  return broker;
}

function config(port: number, more: Partial<UpstreamConfig> = {}): UpstreamConfig {
  const identity = { cert: Buffer.from(gateway.cert), key: Buffer.from(gateway.key) };
  const tls = secureContextOf({ ca: Buffer.from(authority.cert), identity });
  return { address: { host: 'localhost', port }, tls: () => tls, username: 'latchkey', password: undefined, ...more };
}

function greet(of: UpstreamConfig, deadlineMs = 3000) {
  const device = new PassThrough();
  ends.push(() => device.destroy());
  return upstreamOf(of, deadlineMs).greet(connectPacket(), DEVICE, device);
}

test('with its certificate the gateway gets through, under its name and without a password', async () => {
  const { port } = await tlsBroker(broker, authority.cert);
  const answer = await greet(config(port));
  if (!('socket' in answer)) throw new Error(answer.failure);
  ends.push(() => answer.socket.destroy());
  expect(answer.connack).toEqual(ACCEPT[4]);
});

test('an address is as good as a name, where the certificate holds it', async () => {
  const { port } = await tlsBroker(broker, authority.cert);
  const answer = await greet(config(port, { address: { host: '127.0.0.1', port } }));
  expect(answer).toHaveProperty('connack');
});

test.each([
  ['that another CA vouches for', async () => (await newAuthority('Others')).issue('localhost')],
  ['of another name', () => authority.issue('elsewhere')],
])('a broker with a certificate %s never sees CONNECT', async (_, issue) => {
  const { port, received, closings } = await tlsBroker(await issue(), authority.cert);
  expect(await greet(config(port, { address: { host: 'localhost', port } }))).toMatchObject({ failure: 'UNREACHABLE' });
  await Promise.all(closings);
  expect(Buffer.concat(received)).toHaveLength(0);
});

test('a gateway without its certificate is not let in', async () => {
  const { port } = await tlsBroker(broker, authority.cert);
  const answer = await greet(
    config(port, { tls: () => secureContextOf({ ca: Buffer.from(authority.cert), identity: undefined }) }),
  );
  // In TLS 1.3 the client's side of the handshake is over before the server has judged it.
  expect(answer).toMatchObject({ failure: expect.stringMatching(/^(UNREACHABLE|NO_CONNACK)$/) });
});

test('files that were renewed count from then on, and ones that do not fit leave all as it was', async () => {
  const { port } = await tlsBroker(broker, authority.cert);
  const other = await newAuthority('Others');
  let ca = Buffer.from(other.cert);
  const identity = { cert: Buffer.from(gateway.cert), key: Buffer.from(gateway.key) };
  const upstream = upstreamOf(config(port, { tls: () => secureContextOf({ ca, identity }) }), 3000);
  const attempt = async () => {
    const device = new PassThrough();
    ends.push(() => device.destroy());
    const answer = await upstream.greet(connectPacket(), DEVICE, device);
    if ('socket' in answer) ends.push(() => answer.socket.destroy());
    return 'failure' in answer ? answer.failure : 'GREETED';
  };
  expect(await attempt()).toBe('UNREACHABLE');
  ca = Buffer.from(authority.cert);
  expect(await attempt()).toBe('UNREACHABLE');
  upstream.renew();
  expect(await attempt()).toBe('GREETED');
  ca = Buffer.from('no certificate');
  expect(upstream.renew).toThrow(SettingsError);
  expect(await attempt()).toBe('GREETED');
});

test('nobody there is "unreachable", with the error of the system', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const answer = await greet({ ...config(port), tls: undefined });
  expect(answer).toMatchObject({ failure: 'UNREACHABLE', error: expect.objectContaining({ code: 'ECONNREFUSED' }) });
});

test('a broker that does not finish its handshake is late', async () => {
  const server = createServer((socket) => void ends.push(() => socket.destroy())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.close());
  expect(await greet(config((server.address() as AddressInfo).port), 200)).toMatchObject({ failure: 'DEADLINE' });
});

test('a device that goes ends the attempt, however long the deadline', async () => {
  const met = Promise.withResolvers<Socket>();
  const server = createServer(met.resolve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.close());
  const device = new PassThrough();
  const { port } = server.address() as AddressInfo;
  const answer = upstreamOf({ ...config(port), tls: undefined }, 60_000).greet(connectPacket(), DEVICE, device);
  const far = wireOf(await met.promise);
  device.destroy();
  await far.closed;
  expect(await answer).toHaveProperty('failure');
});

test('a user name for all, or the device id', async () => {
  for (const [username, shown] of [
    ['latchkey', 'latchkey'],
    [undefined, 'd'],
  ] as const) {
    const seen = Promise.withResolvers<Buffer>();
    const server = createServer((socket) => {
      ends.push(() => socket.destroy());
      socket.once('data', seen.resolve);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const device = new PassThrough();
    const answer = upstreamOf({ ...config(port), tls: undefined, username }, 3000).greet(
      connectPacket(),
      DEVICE,
      device,
    );
    expect(firstPacket(await seen.promise)).toMatchObject({ clientId: 'd', username: shown });
    expect(firstPacket(await seen.promise)).not.toHaveProperty('password');
    device.destroy();
    await answer;
  }
});

test.each(['ca', 'identity'] as const)(
  'files that hold no certificates and no fitting key are told by flag: %s',
  (part) => {
    const good = { ca: undefined, identity: { cert: Buffer.from(gateway.cert), key: Buffer.from(gateway.key) } };
    const bad = {
      ca: Buffer.from('-----BEGIN CERTIFICATE-----'),
      identity: { ...good.identity, key: Buffer.from(broker.key) },
    };
    expect(() => secureContextOf(good)).not.toThrow();
    expect(() => secureContextOf({ ...good, [part]: bad[part] })).toThrow(SettingsError);
    expect(() => secureContextOf({ ...good, [part]: bad[part] })).toThrow('--upstream-cert and --upstream-key');
  },
);
