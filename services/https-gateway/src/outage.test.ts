import { once } from 'node:events';
import { connect } from 'node:net';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Bench, login, ready, startBench, until } from './test-bench.ts';
import { report, send } from './test-client.ts';

let broker: Broker;
const benches: Bench[] = [];

beforeAll(async () => {
  broker = await startBroker('max_packet_size 2000');
});
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});
afterAll(() => broker.stop());

async function start(options: Partial<Parameters<typeof startBench>[0]> = {}): Promise<Bench> {
  const bench = await startBench({ broker, ...options });
  benches.push(bench);
  return bench;
}
const statusOf = async (bench: Bench) => (await send(bench, 'plain HTTP/1.1', report('a', 'messages/up', 'x'))).status;

test('a broker that is away: 503 until it is back, and nothing is sent later', async () => {
  const bench = await start();
  await ready(bench);
  expect(await statusOf(bench)).toBe(200);
  await broker.kill();
  await until(async () => (await statusOf(bench)) === 503);
  expect((await fetch(bench.url('/readyz'))).status).toBe(503);
  expect((await send(bench, 'HTTP/2', { path: '/v5/device-auth', body: login('a') })).status).toBe(200);
  const lost = report('lost', 'messages/up', 'x');
  expect(await send(bench, 'HTTP/2', lost)).toMatchObject({
    status: 503,
    headers: { 'retry-after': expect.anything() },
  });
  broker.arrived.length = 0;
  await broker.restart();
  await until(async () => (await statusOf(bench)) === 200);
  await until(() => broker.arrived.length > 0);
  expect(broker.arrived.filter(({ topic }) => topic.includes('lost'))).toEqual([]);
});

test('a broker that hangs: the report is refused in time, and its link is given up', async () => {
  const bench = await start({ deadlines: { publishMs: 500 } });
  await ready(bench);
  broker.hang(true);
  try {
    expect(await statusOf(bench)).toBe(503);
    await until(async () => !(await fetch(bench.url('/readyz'))).ok);
  } finally {
    broker.hang(false);
  }
  await until(async () => (await statusOf(bench)) === 200);
});

test('a broker that dies with a report on its way: 503 at once, and it is not sent again', async () => {
  const bench = await start({ deadlines: { publishMs: 60_000 } });
  await ready(bench);
  broker.arrived.length = 0;
  broker.hang(true);
  const answer = send(bench, 'HTTP/2', report('on-its-way', 'messages/up', 'x'));
  await until(async () => /sessions_open\{[^}]*\} 1/.test(await (await fetch(bench.url('/metrics'))).text()));
  await broker.kill();
  expect((await answer).status).toBe(503);
  await broker.restart();
  await until(async () => (await statusOf(bench)) === 200);
  await until(() => broker.arrived.length > 0);
  expect(broker.arrived.filter(({ topic }) => topic.includes('on-its-way'))).toEqual([]);
});

test('a broker that refuses the credential is away, and the log says so without the password', async () => {
  const bench = await start({ broker: { ...broker, password: 'wrong-canary' } });
  await until(() => bench.logged.join('').includes('the upstream broker is away'));
  expect(await statusOf(bench)).toBe(503);
  expect((await fetch(bench.url('/readyz'))).status).toBe(503);
  expect(bench.logged.join('')).not.toContain('canary');
});

test('what the broker does not take at once waits for its turn, and goes if its device goes', async () => {
  const narrow = await startBroker('max_inflight_messages 1');
  try {
    const bench = await start({ broker: narrow });
    await ready(bench);
    const many = Array.from({ length: 20 }, (_, index) =>
      send(bench, 'plain HTTP/1.1', report(`many-${index}`, 'messages/up', `${index}`)),
    );
    expect((await Promise.all(many)).map(({ status }) => status)).toEqual(many.map(() => 200));
    await until(() => narrow.arrived.length === 20);
    narrow.hang(true);
    const first = send(bench, 'plain HTTP/1.1', report('a', 'messages/up', 'first'));
    const open = async (count: number) =>
      (await (await fetch(bench.url('/metrics'))).text()).includes(`sessions_open{service="https-gateway"} ${count}\n`);
    await until(() => open(1));
    const socket = connect(bench.http, '127.0.0.1');
    socket.write(
      'POST /v5/devices/gone/sys/messages/up HTTP/1.1\r\naccess_token: t\r\nhost: a\r\ncontent-length: 0\r\n\r\n',
    );
    await until(() => open(2));
    socket.destroy();
    await until(() => open(1));
    narrow.hang(false);
    expect((await first).status).toBe(200);
    expect((await send(bench, 'plain HTTP/1.1', report('a', 'messages/up', 'last'))).status).toBe(200);
    await until(() => narrow.arrived.length === 22);
    expect(narrow.arrived.slice(20).map(({ payload }) => payload.toString())).toEqual(['first', 'last']);
  } finally {
    await narrow.stop();
  }
});

test('a report that is longer than the broker takes is 403', async () => {
  const bench = await start();
  await ready(bench);
  const got = await send(bench, 'HTTP/2', report('a', 'messages/up', 'x'.repeat(2_000)));
  expect(got).toMatchObject({ status: 403, json: { error_code: 'IOTDA.021105' } });
  expect(await statusOf(bench)).toBe(200);
});

test('an auth service that is away: 503, never an unauthorized device', async () => {
  const bench = await start({ absent: true, deadlines: { decisionMs: 300 } });
  expect((await send(bench, 'HTTP/2', { path: '/v5/device-auth', body: login('a') })).status).toBe(503);
  expect(await statusOf(bench)).toBe(503);
  await bench.table.start(bench.authPort);
  await until(async () => (await statusOf(bench)) === 200);
});

test('a stop lets the report under way come to its end, and takes no other', async () => {
  const bench = await start();
  await ready(bench);
  const socket = connect(bench.http, '127.0.0.1');
  socket.write(
    'POST /v5/devices/last/sys/messages/up HTTP/1.1\r\naccess_token: t\r\nhost: a\r\ncontent-length: 2\r\n\r\n1',
  );
  const answered = socket.toArray();
  await until(async () => /sessions_open\{[^}]*\} 1/.test(await (await fetch(bench.url('/metrics'))).text()));
  const stopped = bench.stop();
  const late = connect(bench.http, '127.0.0.1');
  await once(late, 'error');
  socket.write('2');
  const text = (await answered).join('');
  expect(text).toMatch(/^HTTP\/1.1 200 /);
  expect(text.toLowerCase()).toContain('connection: close');
  await stopped;
});

test('a stop tells a report that does not come to its end to come again', async () => {
  const bench = await start({ limits: { drainMs: 200 } });
  await ready(bench);
  const socket = connect(bench.http, '127.0.0.1');
  socket.write(
    'POST /v5/devices/last/sys/messages/up HTTP/1.1\r\naccess_token: t\r\nhost: a\r\ncontent-length: 2\r\n\r\n1',
  );
  const answered = socket.toArray();
  await until(async () => /sessions_open\{[^}]*\} 1/.test(await (await fetch(bench.url('/metrics'))).text()));
  await bench.stop();
  expect((await answered).join('')).toMatch(/^HTTP\/1.1 503 .*retry-after/s);
});
