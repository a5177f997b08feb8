import { connect as connectTcp } from 'node:net';
import { ChangeKind, SessionEffect } from '@latchkey/protocol/v1';
import type { IClientOptions } from 'mqtt';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { closed, dial, dialIn, login, until } from './test-bench.ts';
import { farewell, hearing, Links, VERSIONS } from './test-links.ts';

const links = new Links();
const port = () => links.bench.portOf('ws');
const overWs = { protocol: 'ws', path: '/mqtt' } as const satisfies IClientOptions;

describe.each(VERSIONS)('$name', ({ speak, column }) => {
  const online = async (deviceId: string) => {
    const client = await dialIn(port(), { ...login(deviceId), ...speak, ...overWs });
    links.after(() => client.endAsync(true));
    return client;
  };

  test('a device publishes and hears, in packets of up to 1 MiB', async () => {
    const client = await online('d');
    const sizes: number[] = [];
    client.on('message', (_, payload) => sizes.push(payload.length));
    await client.subscribeAsync('$oc/devices/d/#');
    await client.publishAsync('$oc/devices/d/up', Buffer.alloc(1_048_000), { qos: 1 });
    await until(() => sizes.length > 0);
    expect(sizes).toEqual([1_048_000]);
  });

  test('the service hears where it comes from, and a refusal has its code', async () => {
    const sources: string[] = [];
    links.bench.table.answer = ({ source }) => {
      sources.push(source);
      throw new Error('no store');
    };
    const codes = { mqtt3: 3, mqtt5: 0x88 };
    expect(await dial(port(), { ...login('d'), ...speak, ...overWs })).toBe(codes[column]);
    expect(sources).toEqual(['127.0.0.1']);
  });

  test('a freeze closes it, and a newer link over TCP replaces it', async () => {
    const deviceId = links.device();
    const told = farewell(await online(deviceId));
    const change = { kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE };
    links.bench.table.change({ deviceId, revision: 2n, ...change });
    expect(await told).toBe({ mqtt3: undefined, mqtt5: 0x98 }[column]);
    const replaced = closed(await online('d'));
    await links.online('d', speak);
    await replaced;
    expect(await links.openSessions()).toBe(1);
  });
});

function open(path: string, protocols: string[]): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port()}${path}`, protocols, { perMessageDeflate: true });
  return new Promise((resolve) => {
    socket.on('open', () => resolve(`open ${socket.protocol} ${socket.extensions}`));
    socket.on('error', ({ message }) => resolve(message));
    links.after(() => socket.terminate());
  });
}

test.each([
  ['/mqtt', ['mqtt'], 'open mqtt '],
  ['/mqtt', ['mqttv3.1'], 'open mqttv3.1 '],
  ['/mqtt', ['chat', 'mqtt'], 'open mqtt '],
  ['/mqtt?x=y', ['mqtt'], 'open mqtt '],
  ['/mqtt', ['chat'], 'Unexpected server response: 400'],
  ['/mqtt', [], 'Unexpected server response: 400'],
  ['/', ['mqtt'], 'Unexpected server response: 400'],
])('an upgrade at %s with %j: %s', async (path, protocols, outcome) => {
  expect(await open(path, protocols)).toBe(outcome);
});

test('other requests are told to upgrade', async () => {
  const response = await fetch(`http://127.0.0.1:${port()}/mqtt`);
  expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket']);
});

/** What becomes of a WebSocket that sends this; the code of its close. */
async function send(data: string | Buffer): Promise<number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port()}/mqtt`, ['mqtt']);
  links.after(() => socket.terminate());
  await new Promise((resolve) => socket.once('open', resolve));
  const code = new Promise<number>((resolve) => socket.once('close', resolve));
  socket.send(data);
  return code;
}

test('text, messages over the bound and what is no CONNECT close it', async () => {
  const bystander = await links.online('d', { protocolVersion: 4 });
  expect(await send('text')).toBe(1003);
  expect(await send(Buffer.alloc(1_048_582, 0x10))).toBe(1009);
  expect(await send(Buffer.from([0xc0, 0x00]))).toBe(1006);
  const heard = hearing(bystander);
  await bystander.subscribeAsync('$oc/devices/d/#');
  await bystander.publishAsync('$oc/devices/d/up', 'still here', { qos: 1 });
  await until(() => heard.length === 1);
});

test('a request that does not come, or not wholly, is cut', async () => {
  const slow = connectTcp(port(), '127.0.0.1');
  links.after(() => slow.destroy());
  const cut = new Promise((resolve) => slow.once('close', resolve));
  slow.on('error', () => undefined).resume();
  slow.write(`GET /mqtt HTTP/1.1\r\nx: ${'x'.repeat(9000)}\r\n`);
  await cut;
});
