import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { cliSecret } from './cli.ts';
import { login } from './digest.ts';
import { dialIn } from './link.ts';
import { mosquitto } from './mosquitto.ts';
import { register } from './operator.ts';
import { newPlace, type Place, takePort } from './place.ts';
import { descendantsOf, isRunning, socketsOf } from './processes.ts';
import type { Failure, Program } from './program.ts';
import { placeFor, programFor, type Scope } from './scope.ts';
import { asSystem, caFile, type Launched, launch, launcherArgs, tryLaunch } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe('a launched system', () => {
  let place: Place;
  let system: Launched;
  beforeAll(async () => {
    place = await newPlace();
    system = await launch(place).catch(async (error: unknown) => {
      await place.remove();
      throw error;
    });
  });
  afterAll(async () => {
    await system.launcher.end();
    await place.remove();
  });

  test('one line of JSON tells where everything is', () => {
    const { dataDir, launcher } = system;
    const loopback = expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(launcher.ready).toEqual({
      event: 'ready',
      ...{ grpc: loopback, mqtt: loopback, mqtts: loopback, ingress: loopback },
      https: expect.stringMatching(/^https:\/\/127\.0\.0\.1:[1-9]\d*$/),
      coaps: expect.stringMatching(/^coaps:\/\/127\.0\.0\.1:[1-9]\d*$/),
      admin: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/),
      ...{ dataDir, token: join(dataDir, 'operator.token'), ingressCredential: join(dataDir, 'ingress.credential') },
    });
  });

  test('no process has a socket that reaches beyond this machine', async () => {
    const right = login('local', await cliSecret(system, 'device', 'create', 'local'));
    const link = await dialIn(system.mqtt, right);
    const sockets = [system.launcher.pid, ...descendantsOf(system.launcher.pid)].flatMap(socketsOf);
    await link.close();
    // Listeners: 2 of auth, 4 of MQTT, 2 of HTTPS; both ends of the gateways' calls, and of the way to the ingress; the device's link.
    expect(sockets.length).toBeGreaterThanOrEqual(15);
    expect(sockets.filter(reachesOut)).toEqual([]);
  });

  test('SIGINT stops everything, links and all, and leaves no process', async () => {
    await register(system, 'linked', 'first-secret');
    const link = await dialIn(system.mqtt, login('linked', 'first-secret'));
    const processes = descendantsOf(system.launcher.pid);
    expect(processes).toHaveLength(4);
    expect(await system.stop()).toBe(0);
    await link.closed();
    expect(processes.filter(isRunning)).toEqual([]);
  });
});

test.concurrent.for(['--grpc', '--admin', '--mqtt', '--mqtts', '--ingress', '--https'])(
  'a taken port of %s is named, with exit code 2',
  async (flag, scope) => {
    const place = await placeFor(scope);
    const taken = await takePort();
    scope.onTestFinished(taken.release);
    const outcome = await tryLaunch(launcherArgs(place, flag, `127.0.0.1:${taken.port}`));
    expect(outcome).not.toHaveProperty('ready');
    expectTaken(outcome as Failure, flag, taken.port);
  },
);

function expectTaken({ code, said }: Failure, flag: string, port: number): void {
  const lines = said.split('\n').map((line) => JSON.parse(line));
  const last = lines.filter(({ service, level }) => service === 'start' && level === 'error').at(-1);
  expect(last).toMatchObject({ msg: expect.stringContaining(`${flag} 127.0.0.1:${port}`) });
  expect(code).toBe(2);
}

test.concurrent('the standard ports are used, or named when another program has them', async (scope) => {
  const place = await placeFor(scope);
  const ports = ['--mqtt', '127.0.0.1:1883', '--mqtts', '127.0.0.1:8883'];
  const outcome = await tryLaunch(launcherArgs(place, ...ports));
  await ('ready' in outcome ? connectsOnStandardPorts(scope, outcome) : tellsWhichIsTaken(outcome));
});

async function connectsOnStandardPorts(scope: Scope, launcher: Program): Promise<void> {
  const system = asSystem(programFor(scope, launcher));
  expect([system.mqtt, system.mqtts]).toEqual([1883, 8883]);
  const right = login('standard', await cliSecret(system, 'device', 'create', 'standard'));
  expect(await mosquitto(1883, right)).toBe(0);
  expect(await mosquitto(8883, right, { tls: { ca: caFile(system) } })).toBe(0);
  expect(await system.stop()).toBe(0);
}

async function tellsWhichIsTaken(failure: Failure): Promise<void> {
  const [flag, port] = failure.said.includes(':1883') ? (['--mqtt', 1883] as const) : (['--mqtts', 8883] as const);
  await expect(takePort(port)).rejects.toThrow('EADDRINUSE');
  expectTaken(failure, flag, port);
}

function reachesOut({ local, remote }: { readonly local: string; readonly remote: string }): boolean {
  return !isLocal(local) || !(isLocal(remote) || remote.endsWith(':0000'));
}

/** 127.0.0.0/8, plain or mapped into IPv6, or ::1; the kernel writes 32-bit words in the byte order of the machine. */
function isLocal(address: string): boolean {
  return /^(0000000000000000(0000FFFF|FFFF0000))?([0-9A-F]{6}7F|7F[0-9A-F]{6}):|^0{24}(01000000|00000001):/.test(
    address,
  );
}
