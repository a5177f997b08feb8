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
      for (const word of String(chunk).match(/ssubscribe|get|beat|:.*|./gs) ?? []) socket.write(`<${word}>`);
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

/** Waits until it has come to this. */
const until = (state: { readonly asked?: string; readonly got?: string }) =>
  expect.poll(() => ({ asked, got })).toMatchObject(state);

async function say(text: string): Promise<void> {
  client.write(text);
  await settle();
}

it('passes both ways', async () => {
  await say('a');
  await until({ got: '<a>' });
  await say('b');
  await until({ asked: 'ab', got: '<a><b>' });
});

it('keeps what a hole holds, in order, and gives it back', async () => {
  proxy.set({ toRedis: 'STALL', toReplica: 'STALL', concerned: 'ALL' });
  await say('a');
  await say('b');
  expect({ asked, got }).toEqual({ asked: '', got: '' });
  proxy.set(PASSING);
  await until({ asked: 'ab', got: '<a><b>' });
});

it('silences one way alone', async () => {
  proxy.set({ toRedis: 'PASS', toReplica: 'STALL', concerned: 'ALL' });
  await say('a');
  await until({ asked: 'a', got: '' });
  proxy.set(PASSING);
  await until({ got: '<a>' });
});

it('loses what it has to lose', async () => {
  proxy.set({ toRedis: 'PASS', toReplica: 'LOSE', concerned: 'ALL' });
  await say('a');
  await until({ asked: 'a' });
  await settle(); // the reply is lost
  proxy.set(PASSING);
  await say('b');
  await until({ asked: 'ab', got: '<b>' });
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
  await until({ got: '<get>' });
  await say('ssubscribe');
  await expect.poll(() => proxy.repliesWaiting).toBe(1);
  await say('beat');
  await expect.poll(() => proxy.repliesWaiting).toBe(2);
  expect(got).toBe('<get>');
  proxy.releaseReplies(1);
  await until({ got: '<get><ssubscribe>' });
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
  await expect.poll(() => heard).toBe(`<:${second}\r\n$5\r\n${second}\r\n127.0.0.1:${first}@1 :123456 99912345>`);
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
  await until({ got: '<a>' });
  second.destroy();
  other.close();
  expect(chunk.toString()).toBe('other');
});
