import { Client, credentials } from '@grpc/grpc-js';
import { AuthenticationService } from '@latchkey/protocol/v1';
import { unaryMethod } from '@latchkey/rpc';
import { createRegistry } from '@latchkey/runtime';
import { type Store, StoreUnavailable } from '@latchkey/store';
import { afterEach, expect, test } from 'vitest';
import { timed } from './metrics.ts';
import { attempt } from './test-process.ts';
import { type Service, startService } from './test-stores.ts';

let service: Service | undefined;
afterEach(() => service?.stop());

async function figures(of: Service): Promise<ReadonlyMap<string, number>> {
  const text = (await (await fetch(`${of.admin}/metrics`)).text()).replaceAll(
    /\{service="auth"\}|,?service="auth",?/g,
    '',
  );
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

test('over Redis the lease, the barrier and what waited in vain are counted', async () => {
  service = await startService('redis');
  const { clients, redis } = service;
  const primary = { case: 'secret' as const, value: {} };
  await clients.devices.createDevice({ deviceId: 'a', primary });
  await clients.devices.createDevice({ deviceId: 'b', primary });
  await expect.poll(async () => (await figures(service as Service)).get('latchkey_store_leases_held')).toBe(1);
  const before = await figures(service);
  expect(before.get('latchkey_store_log_position')).toBe(2);
  expect(before.get('latchkey_store_settle_duration_seconds_count{outcome="settled"}')).toBe(2);
  // On a young connection they wait in full.
  const full = before.get('latchkey_store_settled_full') ?? 0;
  expect(full + (before.get('latchkey_store_settled_early') ?? 0)).toBe(2);
  expect(before.get('latchkey_store_lease_waits_failed')).toBe(0);
  await redis?.kill();
  await expect.poll(async () => (await figures(service as Service)).get('latchkey_store_leases_held')).toBe(0);
  // Not by the service's own clients, which would ask again.
  const channel = new Client(service.grpc, credentials.createInsecure(), { 'grpc.enable_retries': 0 });
  const askOnce = unaryMethod(channel, AuthenticationService.method.authenticate, Date.now);
  await expect(askOnce(attempt('a', 'x'), 5_000)).rejects.toThrow('lease');
  channel.close();
  expect((await figures(service)).get('latchkey_store_lease_waits_failed')).toBe(1);
});

test('a barrier that fails is told from one that holds', async () => {
  const registry = createRegistry('test');
  let nowMs = 0;
  const settled = async () => {
    nowMs += 700;
    throw new StoreUnavailable('away');
  };
  const store = timed(registry, { settled } as unknown as Store, { monotonic: () => nowMs });
  await expect(store.settled('a' as never, 1 as never)).rejects.toThrow('away');
  const text = await registry.metrics();
  expect(text).toMatch(/settle_duration_seconds_sum\{[^}]*outcome="failed"[^}]*\} 0\.7/);
  expect(text).not.toContain('outcome="settled"');
});
