import { connect } from 'node:net';
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
  const { mqtt } = await bench({ maxConnections: 2 });
  const clients = [await dialIn(mqtt, login('d')), await dialIn(mqtt, login('e'))];
  await expect(dial(mqtt, login('f'))).rejects.toThrow();
  for (const client of clients) await client.endAsync(true);
  await until(async () => typeof (await dial(mqtt, login('f')).catch(() => 'closed')) === 'object');
});

test('a stop ends the links and what never became one, within its deadline', async () => {
  const { mqtt, stop } = await bench();
  const client = await dialIn(mqtt, login('d'));
  const told = farewell(await dialIn(mqtt, { ...login('e'), protocolVersion: 5 }));
  const idle = connect({ port: mqtt, host: '127.0.0.1', allowHalfOpen: true });
  await new Promise((resolve) => idle.once('connect', resolve));
  idle.on('error', () => undefined);
  const ended = closed(client);
  await Promise.all([stop(), ended]);
  expect(await told).toBe(0x8b); // server shutting down
  idle.destroy();
  await expect(dial(mqtt, login('d'))).rejects.toThrow();
});
