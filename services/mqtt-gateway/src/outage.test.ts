import { connect, type Socket } from 'node:net';
import { denied, granted } from '@latchkey/gateway-kit/testing';
import { DenyReason, SessionEffect } from '@latchkey/protocol/v1';
import { afterEach, expect, test } from 'vitest';
import { closed, dial, dialIn, login, startBench, until } from './test-bench.ts';
import { farewell } from './test-links.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function bench(options: Parameters<typeof startBench>[0] = {}) {
  const started = await startBench(options);
  ends.push(started.stop);
  return started;
}

/** A connection that says nothing and does not end when the other end does. */
async function halfOpen(port: number): Promise<Socket> {
  const idle = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  idle.on('error', () => undefined);
  await new Promise((resolve) => idle.once('connect', resolve));
  return idle;
}

test('the gateway starts with the service absent, answers 3, and lets devices in when it comes', async () => {
  const { table, authPort, mqtt, url } = await bench({ absent: true });
  expect(await dial(mqtt, login('d'))).toBe(3);
  expect((await fetch(url('/readyz'))).status).toBe(503);
  expect((await fetch(url('/healthz'))).status).toBe(200);
  await table.start(authPort);
  await until(async () => (await fetch(url('/readyz'))).ok);
  await (await dialIn(mqtt, login('d'))).endAsync(true);
});

test('nobody gets in as long as the change that ends a session could not be heard of', async () => {
  const { table, authPort, mqtt } = await bench({ absent: true });
  table.beating = false;
  await table.start(authPort);
  await until(() => table.cursors.length > 0);
  expect(await dial(mqtt, login('d'))).toBe(3);
  table.beating = true;
  await until(async () => typeof (await dial(mqtt, login('d'))) === 'object');
});

test('an outage keeps the links that are open, answers 3, and what changed in it is heard of afterwards', async () => {
  const { table, authPort, mqtt } = await bench();
  const [kept, frozen] = [await dialIn(mqtt, login('d')), await dialIn(mqtt, login('e'))];
  const ended = closed(frozen);
  table.stop();
  await until(async () => (await dial(mqtt, login('f'))) === 3);
  expect([kept.connected, frozen.connected]).toEqual([true, true]);
  table.change({ deviceId: 'e', revision: 2n, effect: SessionEffect.CLOSE_DEVICE });
  table.answer = ({ deviceId }) => (deviceId === 'e' ? denied(DenyReason.FROZEN) : granted(`${deviceId}-1`, 1n));
  await table.start(authPort);
  await ended;
  await kept.publishAsync('$oc/devices/d/up', 'x', { qos: 1 });
  await until(async () => (await dial(mqtt, login('e'))) === 5);
  await kept.endAsync(true);
});

test('connections over the cap are closed at once', async () => {
  const { mqtt } = await bench({ limits: { connections: 2 } });
  const clients = [await dialIn(mqtt, login('d')), await dialIn(mqtt, login('e'))];
  await expect(dial(mqtt, login('f'))).rejects.toThrow();
  for (const client of clients) await client.endAsync(true);
  await until(async () => typeof (await dial(mqtt, login('f')).catch(() => 'closed')) === 'object');
});

test('one source may have so many connections, and the refused ones are counted', async () => {
  const { mqtt, url } = await bench({ limits: { sourceConnections: 1 } });
  const client = await dialIn(mqtt, login('d'));
  await expect(dial(mqtt, login('e'))).rejects.toThrow();
  const metrics = await (await fetch(url('/metrics'))).text();
  expect(metrics).toMatch(/connections_refused_total\{cause="SOURCE",.*\} 1/);
  expect(metrics).toMatch(/connections_open\{.*\} 1/);
  await client.endAsync(true);
});

test('over the bound of questions devices are told at once to come again', async () => {
  const { mqtt, table, url } = await bench({ limits: { decisions: 1 } });
  const held = Promise.withResolvers<ReturnType<typeof granted>>();
  table.answer = () => held.promise;
  const first = dialIn(mqtt, login('d'));
  await until(async () => /decisions_in_flight\{.*\} 1/.test(await (await fetch(url('/metrics'))).text()));
  expect(await dial(mqtt, login('e'))).toBe(3);
  held.resolve(granted('c', 1n));
  await (await first).endAsync(true);
});

test('a device that fails too often gets its answer late, others at once', async () => {
  const { mqtt, table } = await bench({ deadlines: { holdMs: 2_000 } });
  const asked: string[] = [];
  table.answer = ({ deviceId }) => {
    asked.push(deviceId);
    return denied(deviceId === 'd' ? DenyReason.THROTTLED : DenyReason.SECRET_MISMATCH);
  };
  const answered: unknown[] = [];
  const throttled = dial(mqtt, login('d')).then((code) => answered.push(code));
  await until(() => asked.length === 1);
  answered.push(await dial(mqtt, login('e')));
  await throttled;
  expect([asked, answered]).toEqual([
    ['d', 'e'],
    [4, 3],
  ]);
});

test('while sessions are drained nobody comes in and /readyz says so', async () => {
  const { mqtt, url, stop } = await bench({ limits: { drainMs: 2_000 } });
  const clients = await Promise.all(Array.from({ length: 60 }, (_, number) => dialIn(mqtt, login(`d${number}`))));
  const ended = clients.map(closed);
  const idle = await halfOpen(mqtt); // what does not end holds the stop up for 3 s
  const stopped = stop();
  await ended[0];
  expect((await fetch(url('/readyz'))).status).toBe(503);
  await expect(dial(mqtt, login('x'))).rejects.toThrow();
  await Promise.all(ended);
  await stopped;
  idle.destroy();
});

test('a stop ends the links and what never became one, within its deadline', async () => {
  const { mqtt, stop } = await bench();
  const client = await dialIn(mqtt, login('d'));
  const told = farewell(await dialIn(mqtt, { ...login('e'), protocolVersion: 5 }));
  const idle = await halfOpen(mqtt);
  const ended = closed(client);
  await Promise.all([stop(), ended]);
  expect(await told).toBe(0x8b); // server shutting down
  idle.destroy();
  await expect(dial(mqtt, login('d'))).rejects.toThrow();
});
