import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FaultProxy, PASSING } from './proxy.ts';

let server: Server;
let proxy: FaultProxy;
let client: Socket;
let got = '';
let asked = '';

/** Gives loopback sockets time to hand over what is on its way. */
const settle = () => pause(40);

beforeEach(async () => {
  got = '';
  asked = '';
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      asked += chunk;
      socket.write(`<${chunk}>`);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await FaultProxy.open([targetPort()], () => 0.5);
  client = connect(proxy.ports[0] ?? 0, '127.0.0.1');
  client.on('error', () => undefined);
  client.on('data', (chunk) => {
    got += chunk;
  });
  await once(client, 'connect');
});
afterEach(async () => {
  client.destroy();
  await proxy.close();
  server.close();
});

const targetPort = () => (server.address() as AddressInfo).port;

async function say(text: string): Promise<void> {
  client.write(text);
  await settle();
}

it('passes both ways', async () => {
  await say('a');
  await say('b');
  expect({ asked, got }).toEqual({ asked: 'ab', got: '<a><b>' });
});

it('keeps what a hole holds, in order, and gives it back', async () => {
  proxy.set({ toRedis: 'STALL', toReplica: 'STALL', concerned: 'ALL' });
  await say('a');
  await say('b');
  expect({ asked, got }).toEqual({ asked: '', got: '' });
  proxy.set(PASSING);
  await settle();
  expect({ asked, got }).toEqual({ asked: 'ab', got: '<ab>' });
});

it('silences one way alone', async () => {
  proxy.set({ toRedis: 'PASS', toReplica: 'STALL', concerned: 'ALL' });
  await say('a');
  expect({ asked, got }).toEqual({ asked: 'a', got: '' });
  proxy.set(PASSING);
  await settle();
  expect(got).toBe('<a>');
});

it('loses what it has to lose', async () => {
  proxy.set({ toRedis: 'PASS', toReplica: 'LOSE', concerned: 'ALL' });
  await say('a');
  proxy.set(PASSING);
  await say('b');
  expect({ asked, got }).toEqual({ asked: 'ab', got: '<b>' });
});

it('is late by what chance says', async () => {
  proxy.set({ toRedis: 'PASS', toReplica: 'LAG', concerned: 'ALL' });
  await say('a');
  expect(got).toBe('');
  await expect.poll(() => got).toBe('<a>');
});

it('tells connections that follow changes from those that read', async () => {
  proxy.set({ toRedis: 'PASS', toReplica: 'STALL', concerned: 'FOLLOWING' });
  await say('get');
  expect(got).toBe('<get>');
  await say('ssubscribe');
  await say('beat');
  expect(got).toBe('<get>');
  expect(proxy.repliesWaiting).toBe(2);
  proxy.releaseReplies(1);
  await settle();
  expect(got).toBe('<get><ssubscribe>');
});

it('passes the end on, and cuts', async () => {
  const ended = once(client, 'close');
  proxy.cut();
  await ended;
  expect(client.destroyed).toBe(true);
});

it('tells its own ports for those of several servers', async () => {
  const two = await FaultProxy.open([targetPort(), 12_345], () => 0.5);
  const [first = 0, second = 0] = two.ports;
  const other = connect(first, '127.0.0.1');
  let heard = '';
  other.on('data', (chunk) => {
    heard += chunk;
  });
  other.write(`:12345\r\n$5\r\n12345\r\n127.0.0.1:${targetPort()}@1 :123456 99912345`);
  await settle();
  expect(heard).toBe(`<:${second}\r\n$5\r\n${second}\r\n127.0.0.1:${first}@1 :123456 99912345>`);
  other.destroy();
  await two.close();
});

it('leads new connections to where it is aimed, and leaves the old ones', async () => {
  const other = createServer((socket) => {
    socket.end('other');
  }).listen(0, '127.0.0.1');
  await once(other, 'listening');
  proxy.aim(0, (other.address() as AddressInfo).port);
  const second = connect(proxy.ports[0] ?? 0, '127.0.0.1');
  const [chunk] = (await once(second, 'data')) as [Buffer];
  await say('a');
  second.destroy();
  other.close();
  expect([chunk.toString(), got]).toEqual(['other', '<a>']);
});
