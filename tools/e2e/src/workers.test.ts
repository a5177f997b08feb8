import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { login } from './digest.ts';
import { dial, dialIn } from './link.ts';
import { freeze, register } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { descendantsOf, isRunning } from './processes.ts';
import { type Launched, launch, launcherArgs, tryLaunch } from './system.ts';

// Each step starts processes, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SECRET = 'first-secret';
const UNTIL = { timeout: 60_000, interval: 100 };

let place: Place;
let system: Launched;

beforeAll(async () => {
  place = await newPlace('redis');
  system = await launch(place, '--workers', '2');
  await register(system, 'device', SECRET);
  await register(system, 'frozen', SECRET);
});
afterAll(async () => {
  await system.launcher.end('SIGKILL');
  await place.remove();
});

/** The worker processes of the auth service: all that a service has started, and no launcher. */
function workers(): number[] {
  const services = descendantsOf(system.launcher.pid);
  return services.flatMap(descendantsOf);
}

/** The decisions of each worker. */
async function decisions(): Promise<ReadonlyMap<string, number>> {
  const metrics = await (await fetch(`${system.admin}/metrics`)).text();
  const found = metrics.matchAll(/^latchkey_decisions_total\{[^}]*outcome="granted"[^}]*worker="(\d)"[^}]*\} (\d+)$/gm);
  return new Map([...found].map(([, worker = '', count]) => [worker, Number(count)]));
}

/** Devices come and go until each worker has decided on so many more of them. */
async function bothDecide(times: number): Promise<void> {
  const before = await decisions();
  await vi.waitFor(async () => {
    await (await dialIn(system.mqtt, login('device', SECRET))).close();
    const after = await decisions();
    for (const worker of ['1', '2'])
      expect((after.get(worker) ?? 0) - (before.get(worker) ?? 0)).toBeGreaterThanOrEqual(times);
  }, UNTIL);
}

test('the questions of one gateway with one address are answered by both workers', async () => {
  expect(workers()).toHaveLength(2);
  await bothDecide(5);
});

test('a worker is killed: devices get in all the while, links stay, and another worker takes its place', async () => {
  const link = await dialIn(system.mqtt, login('frozen', SECRET));
  const before = workers();
  process.kill(before[0] ?? 0, 'SIGKILL');
  const answers: (number | undefined)[] = [];
  await vi.waitFor(async () => {
    const device = await dial(system.mqtt, login('device', SECRET));
    answers.push(typeof device === 'number' ? device : undefined);
    if (typeof device !== 'number') await device.close();
    expect(workers()).toHaveLength(2);
    expect(workers()).not.toContain(before[0]);
  }, UNTIL);
  expect(answers.filter((code) => code !== undefined)).toEqual([]);
  await bothDecide(5);
  await link.publish();
  await freeze(system, 'frozen');
  await link.closed();
});

test('a stop leaves no process', async () => {
  const processes = descendantsOf(system.launcher.pid);
  expect(processes).toHaveLength(6);
  expect(await system.stop()).toBe(0);
  expect(processes.filter(isRunning)).toEqual([]);
});

test('several workers without a Redis are refused, and it says what to do', async () => {
  const alone = await newPlace();
  const refused = await tryLaunch(launcherArgs(alone, '--workers', '2'));
  expect(refused).toMatchObject({
    code: 2,
    said: expect.stringContaining('give a Redis by --store redis://HOST:PORT'),
  });
  await alone.remove();
});
