import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { denied } from '@latchkey/gateway-kit/testing';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { ChangeKind, DenyReason, SessionEffect } from '@latchkey/protocol/v1';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Bench, grantAll, ready, startBench, until } from './test-bench.ts';
import { report, send } from './test-client.ts';

let broker: Broker;
let bench: Bench;
const sockets: Socket[] = [];

beforeAll(async () => {
  broker = await startBroker();
  const deadlines = { bodyMs: 1_000, bodiesBytes: 300_000, headersMs: 1_000 };
  bench = await startBench({ broker, deadlines, limits: { connections: 5 } });
  await ready(bench);
});
beforeEach(() => {
  broker.arrived.length = 0;
  grantAll(bench.table);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await until(async () => (await openReports()) === 0);
});
afterAll(async () => {
  await bench.stop();
  await broker.stop();
});

async function openReports(): Promise<number> {
  const text = await (await fetch(bench.url('/metrics'))).text();
  return Number(/^latchkey_gateway_sessions_open\{[^}]*\} (\d+)/m.exec(text)?.[1]);
}

/** Begins a request over plain HTTP/1.1 and hears the answer, to its end. */
async function begin(text: string) {
  const socket = connect(bench.http, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  let heard = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    heard += chunk;
  });
  await once(socket, 'connect');
  socket.write(text);
  return { socket, heard: () => heard, closed: new Promise((resolve) => socket.once('close', resolve)) };
}

const head = (deviceId: string, length: number) =>
  `POST /v5/devices/${deviceId}/sys/messages/up HTTP/1.1\r\nhost: a\r\naccess_token: t\r\ncontent-length: ${length}\r\n\r\n`;

test('a body that does not come is 408, and its connection is closed', async () => {
  const { heard, closed } = await begin(`${head('slow', 10)}12345`);
  await closed;
  expect(heard()).toMatch(/^HTTP\/1.1 408 .*LATCHKEY\.TOO_SLOW/s);
  expect(broker.arrived).toEqual([]);
});

test('over HTTP/2 only its stream ends', async () => {
  const session = connectHttp2(`https://127.0.0.1:${bench.https}`, { rejectUnauthorized: false });
  const stream = session.request({
    ...{ ':path': '/v5/devices/slow/sys/messages/up', ':method': 'POST', access_token: 't', 'content-length': '10' },
  });
  stream.on('error', () => undefined);
  stream.write('12345');
  stream.resume();
  const [headers] = await once(stream, 'response');
  expect(headers[':status']).toBe(408);
  await once(stream, 'close');
  expect(session.closed).toBe(false);
  session.close();
});

test('headers that do not come are 408 as well, and headers without end are refused', async () => {
  const slow = await begin('POST /v5/device-auth HTTP/1.1\r\nhost: a\r\n');
  const endless = await begin(`POST /v5/device-auth HTTP/1.1\r\nx: ${'a'.repeat(20_000)}`);
  await Promise.all([slow.closed, endless.closed]);
  expect(slow.heard()).toMatch(/^HTTP\/1.1 408 /);
  expect(endless.heard()).toMatch(/^HTTP\/1.1 431 /);
});

test('bodies share a bounded memory, which comes back', async () => {
  const first = await begin(`${head('first', 200_001)}${'a'.repeat(200_000)}`);
  await until(async () => (await openReports()) === 1);
  const long = report('second', 'messages/up', 'b'.repeat(200_000));
  await until(async () => (await send(bench, 'plain HTTP/1.1', long)).status === 503);
  first.socket.write('a');
  await until(() => first.heard() !== '');
  expect(first.heard()).toMatch(/^HTTP\/1.1 200 /);
  for (let repeat = 0; repeat < 5; repeat += 1) expect((await send(bench, 'plain HTTP/1.1', long)).status).toBe(200);
});

test('a device has eight reports under way at most, and others are not held up', async () => {
  const session = connectHttp2(`https://127.0.0.1:${bench.https}`, { rejectUnauthorized: false });
  const open = (deviceId: string) => {
    const headers = { ':path': `/v5/devices/${deviceId}/sys/messages/up`, ':method': 'POST', access_token: 't' };
    const stream = session.request(headers);
    const status = once(stream, 'response').then(([answered]) => answered[':status']);
    stream.on('error', () => undefined).resume();
    return { stream, status };
  };
  const eight = Array.from({ length: 8 }, () => open('greedy'));
  await until(async () => (await openReports()) === 8);
  expect(await open('greedy').status).toBe(403);
  const other = open('modest');
  other.stream.end('x');
  expect(await other.status).toBe(200);
  for (const { stream } of eight) stream.end('x');
  expect(await Promise.all(eight.map(({ status }) => status))).toEqual(eight.map(() => 200));
  session.close();
});

test('more connections than allowed are closed at once', async () => {
  const held = await Promise.all(Array.from({ length: 5 }, () => begin('')));
  await until(() => held.every(({ socket }) => socket.readyState === 'open'));
  const { closed } = await begin(head('late', 0));
  await closed;
});

test('a device that is frozen while its report comes in has not reported', async () => {
  const { socket, heard } = await begin(`${head('frozen', 6)}12345`);
  const other = await begin(`${head('other', 6)}12345`);
  await until(async () => (await openReports()) === 2);
  bench.table.change({ deviceId: 'frozen', revision: 2n, kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE });
  await until(() => heard() !== '');
  expect(heard()).toMatch(/^HTTP\/1.1 403 .*IOTDA\.000004/s);
  socket.write('6');
  other.socket.write('6');
  await until(() => other.heard() !== '');
  expect(other.heard()).toMatch(/^HTTP\/1.1 200 /);
  await until(() => broker.arrived.length === 1);
  expect(broker.arrived[0]?.topic).toBe('$oc/devices/other/sys/messages/up');
});

test('a change that overtakes the verdict ends the report before it begins', async () => {
  const { answer } = bench.table;
  bench.table.answer = async (attempt) => {
    const change = { deviceId: attempt.deviceId, revision: 2n, effect: SessionEffect.CLOSE_DEVICE };
    bench.table.change({ ...change, kind: ChangeKind.DELETED });
    bench.table.change({ deviceId: 'witness', revision: 3n, kind: ChangeKind.UPDATED, effect: SessionEffect.KEEP });
    await new Promise((resolve) => setTimeout(resolve, 300));
    return answer(attempt);
  };
  expect((await send(bench, 'HTTP/2', report('overtaken', 'messages/up', ''))).status).toBe(503);
  expect(broker.arrived).toEqual([]);
});

test('a device that hangs up in the middle leaves nothing', async () => {
  const { socket } = await begin(`${head('gone', 6)}12345`);
  await until(async () => (await openReports()) === 1);
  socket.destroy();
  await until(async () => (await openReports()) === 0);
  expect(broker.arrived).toEqual([]);
});

test('two requests over one connection are answered in order', async () => {
  const { heard } = await begin(`${head('one', 1)}1${head('two', 1)}2`);
  await until(() => heard().split('HTTP/1.1 200 OK').length === 3);
  await until(() => broker.arrived.length === 2);
  expect(broker.arrived.map(({ payload }) => payload.toString())).toEqual(['1', '2']);
});

test('a device that reports too much in a second is told so, others are not, and refused attempts cost it nothing', async () => {
  // Longer than any test: what is spent does not come back meanwhile.
  const paced = await startBench({ broker, deadlines: { pace: { burst: 3, intervalMs: 3_600_000 } } });
  try {
    await ready(paced);
    const statuses = async (deviceId: string, count: number) => {
      const got = [];
      for (let sent = 0; sent < count; sent++)
        got.push(await send(paced, 'HTTP/2', report(deviceId, 'messages/up', 'x')));
      return got.map(({ status, json }) => (json === undefined ? status : [status, json]));
    };
    const { answer } = paced.table;
    paced.table.answer = () => denied(DenyReason.TOKEN_INVALID);
    expect((await statuses('eager', 4)).map((one) => [one].flat()[0])).toEqual([403, 403, 403, 403]);
    paced.table.answer = answer;
    const limit = [403, { error_code: 'IOTDA.021101', error_msg: 'Request reached the maximum rate limit.' }];
    expect(await statuses('eager', 5)).toEqual([200, 200, 200, limit, limit]);
    expect(await statuses('calm', 1)).toEqual([200]);
    expect(broker.arrived).toHaveLength(4);
  } finally {
    await paced.stop();
  }
});
