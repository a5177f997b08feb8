import { crc32 } from 'node:zlib';
import { freePort } from '@latchkey/kernel/testing';
import { layoutOf, type RedisCluster, startRedisCluster } from '@latchkey/store-redis/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { login } from './digest.ts';
import { dial, dialIn } from './link.ts';
import { freeze, register } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import type { Program } from './program.ts';
import { type System, startAuth, startGateway, systemOf } from './system.ts';

// Six Redis servers and three processes are started, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SECRET = 'first-secret';
const SHARDS = 16;
const UNTIL = { timeout: 60_000, interval: 100 };
/** So that writes wait for 5 s after a start and no longer. */
const SHORT_LAG = [
  ...['--min-replicas-to-write', '1', '--min-replicas-max-lag', '2'],
  ...['--repl-ping-replica-period', '1'],
];

let place: Place;
let cluster: RedisCluster;
let replicas: readonly Program[];
let gateway: Program;
let system: System;

beforeAll(async () => {
  cluster = await startRedisCluster({ args: SHORT_LAG });
  place = { ...(await newPlace()), storeArgs: ['--store', cluster.url] };
  const ports = [await freePort(), await freePort()];
  const [first = 0, second = 0] = ports;
  replicas = [await startAuth(place, first), await startAuth(place, second)];
  gateway = await startGateway(...ports);
  system = systemOf(place, replicas[0] as Program, gateway);
});
afterAll(async () => {
  for (const program of [...replicas, gateway]) await program.end('SIGKILL');
  await cluster.stop();
  await place.remove();
});

/** Devices whose shards the first server has, or not. */
async function devices(atFirst: boolean, count: number): Promise<readonly string[]> {
  const owners = await Promise.all(layoutOf(SHARDS).map(({ slot }) => cluster.primaryOf(slot)));
  const ids = Array.from({ length: 200 }, (_, number) => `device-${number}`);
  return ids.filter((id) => (owners[crc32(id) % SHARDS] === cluster.nodes[0]) === atFirst).slice(0, count);
}

const metrics = async () => (await fetch(`http://${gateway.ready['metrics']}/metrics`)).text();

test('while the servers of some shards are away everywhere, a freeze of a device of another shard ends its link', async () => {
  const [lost = ''] = await devices(true, 1);
  const [frozen = '', other = ''] = await devices(false, 2);
  for (const id of [lost, frozen, other]) await register(system, id, SECRET);
  const kept = await dialIn(system.mqtt, login(lost, SECRET));
  const ending = await dialIn(system.mqtt, login(frozen, SECRET));
  const [home, , , replica] = cluster.nodes;
  await replica?.kill();
  await home?.kill();
  await vi.waitFor(
    async () => expect(await metrics()).toMatch(/^latchkey_gateway_changes_silent_logs\{.*\} [1-9]/m),
    UNTIL,
  );
  await freeze(system, frozen);
  await ending.closed();
  expect(await dial(system.mqtt, login(frozen, SECRET))).toBe(5);
  await (await dialIn(system.mqtt, login(other, SECRET))).close();
  expect(await dial(system.mqtt, login(lost, SECRET))).toBe(3);
  await kept.publish();
  await home?.restart();
  await replica?.restart();
  await vi.waitFor(
    async () => expect(await metrics()).toMatch(/^latchkey_gateway_changes_silent_logs\{.*\} 0$/m),
    UNTIL,
  );
  await kept.publish();
  await vi.waitFor(() => freeze(system, lost), UNTIL); // until its replica is back
  await kept.closed();
});
