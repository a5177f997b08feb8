import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '@latchkey/kernel/testing';
import { describe, expect, test, vi } from 'vitest';
import { login } from './digest.ts';
import { dialIn, dialOnce } from './link.ts';
import { mosquitto, mosquittoOnce } from './mosquitto.ts';
import { deviceOf, freeze, register, resetPrimary, tryProof, unfreeze } from './operator.ts';
import { STORES } from './place.ts';
import { placeFor, programFor, systemFor } from './scope.ts';
import { portOf, startAuth, startGateway, systemOf } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SECRET = 'first-secret';

/** Asks every 50 ms until the answer is the expected one; what came before must be among the others. */
async function until<T>(ask: () => Promise<T>, expected: T, meanwhile: readonly T[]): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (let answer = await ask(); answer !== expected; answer = await ask()) {
    expect([expected, ...meanwhile]).toContain(answer);
    expect(Date.now(), `still ${answer}`).toBeLessThan(deadline);
    await pause(50);
  }
}

describe.concurrent.for(STORES)('over the %s store', (store) => {
  test('without the auth service devices are told to come back, and then get in by themselves', async (scope) => {
    const place = await placeFor(scope, store);
    const authPort = await freePort();
    const gateway = programFor(scope, await startGateway(authPort));
    const right = login('patient', SECRET);
    expect(await mosquittoOnce(portOf(gateway.ready['mqtt'] ?? ''), right)).toBe(3);

    let auth = programFor(scope, await startAuth(place, authPort));
    let system = systemOf(place, auth, gateway);
    await register(system, 'patient', SECRET);
    await until(() => mosquittoOnce(system.mqtt, right), 0, [3]);

    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const link = await dialIn(system.mqtt, right);
      expect(await auth.end(signal)).toBe({ SIGTERM: 0, SIGKILL: null }[signal]);
      await until(() => dialOnce(system.mqtt, login('other', SECRET)), 3, []);
      await link.publish(); // a link that is open stays
      auth = programFor(scope, await startAuth(place, authPort));
      system = systemOf(place, auth, gateway);
      await until(() => dialOnce(system.mqtt, login('other', SECRET)), 4, [3]);
      await link.publish();
      await freeze(system, 'patient');
      await link.closed(); // and the gateway follows the changes again
      expect(await mosquitto(system.mqtt, right)).toBe(5);
      await unfreeze(system, 'patient');
    }
  });

  test('a restart keeps secrets, activation and revisions', async (scope) => {
    const place = await placeFor(scope, store);
    const first = await systemFor(scope, place);
    for (const id of ['active', 'inactive', 'frozen']) await register(first, id, SECRET);
    expect(await mosquitto(first.mqtt, login('active', SECRET))).toBe(0);
    await resetPrimary(first, 'active', 'second-secret');
    await freeze(first, 'frozen');
    const devices = await Promise.all(['active', 'inactive', 'frozen'].map((id) => deviceOf(first, id)));
    expect(devices).toMatchObject([{ status: 'DEVICE_STATUS_ACTIVE' }, { status: 'DEVICE_STATUS_INACTIVE' }, {}]);
    expect(await first.stop()).toBe(0);

    const second = await systemFor(scope, place);
    expect(await Promise.all(['active', 'inactive', 'frozen'].map((id) => deviceOf(second, id)))).toEqual(devices);
    const secrets = [
      ['active', SECRET],
      ['active', 'second-secret'],
      ['inactive', SECRET],
      ['frozen', SECRET],
    ] as const;
    const codes = secrets.map(([id, secret]) => mosquitto(second.mqtt, login(id, secret)));
    expect(await Promise.all(codes)).toEqual([4, 0, 0, 5]);
    expect(await second.stop()).toBe(0);
  });

  test('kill -9 among resets loses none that was acknowledged', async (scope) => {
    const place = await placeFor(scope, store);
    const authPort = await freePort();
    let auth = programFor(scope, await startAuth(place, authPort));
    const gateway = programFor(scope, await startGateway(authPort));
    let system = systemOf(place, auth, gateway);
    const secretOf = (reset: number) => `secret-${String(reset).padStart(6, '0')}`;
    const ids = Array.from({ length: 8 }, (_, index) => `killed-${index}`);
    let total = 0;

    for (let round = 0; round < 2; round++) {
      const start = round * 100_000;
      await Promise.all(
        ids.map((id) => (round === 0 ? register(system, id, secretOf(0)) : resetPrimary(system, id, secretOf(start)))),
      );
      let answered = 0;
      const enough = Promise.withResolvers<void>();
      const onReset = () => {
        answered += 1;
        if (answered > ids.length) enough.resolve();
      };
      const running = ids.map((id) => resetUntilKilled(system, id, (reset) => secretOf(start + reset), onReset));
      await Promise.race([enough.promise, Promise.all(running)]); // and not a time, in which a busy machine might have done nothing yet
      expect(await auth.end('SIGKILL')).toBe(null);
      const acknowledged = await Promise.all(running);
      auth = programFor(scope, await startAuth(place, authPort));
      system = systemOf(place, auth, gateway);
      for (const [index, id] of ids.entries()) {
        const { resets, revision } = acknowledged[index] ?? { resets: 0, revision: 0 };
        // The next one was on its way: it may stand, too.
        const granted = await Promise.all([0, 1].map((more) => tryProof(system, id, secretOf(start + resets + more))));
        expect(granted.filter((one) => one !== undefined)).toHaveLength(1);
        expect(Math.max(...granted.map((one) => one ?? 0))).toBeGreaterThanOrEqual(revision);
        expect(resets === 0 || (await tryProof(system, id, secretOf(start + resets - 1))) === undefined).toBe(true);
        total += resets;
      }
    }
    expect(total).toBeGreaterThan(2 * ids.length);
    await until(() => mosquittoOnce(system.mqtt, login('killed-0', 'not-the-secret')), 4, [3]);
  });
});

test.concurrent('while Redis is away devices are told to come back, and then get in by themselves', async (scope) => {
  const place = await placeFor(scope, 'redis');
  const system = await systemFor(scope, place);
  const right = login('patient', SECRET);
  await register(system, 'patient', SECRET);
  expect(await mosquitto(system.mqtt, right)).toBe(0);
  const link = await dialIn(system.mqtt, right);
  await place.redis?.kill();
  await until(() => mosquittoOnce(system.mqtt, login('unknown', SECRET)), 3, []);
  await link.publish();
  await place.redis?.restart();
  await until(() => mosquittoOnce(system.mqtt, right), 0, [3]);
  await resetPrimary(system, 'patient', 'second-secret');
  expect(await mosquitto(system.mqtt, right)).toBe(4);
  expect(await mosquitto(system.mqtt, login('patient', 'second-secret'))).toBe(0);
  expect(await system.stop()).toBe(0);
});

/** Resets one after the other until the service is gone; gives how many it acknowledged, and the last one's revision. */
async function resetUntilKilled(
  system: Parameters<typeof resetPrimary>[0],
  deviceId: string,
  secretOf: (reset: number) => string,
  onReset: () => void,
): Promise<{ readonly resets: number; readonly revision: number }> {
  let revision = 0;
  for (let resets = 0; ; resets++) {
    try {
      revision = await resetPrimary(system, deviceId, secretOf(resets + 1));
      onReset();
    } catch {
      return { resets, revision };
    }
  }
}
