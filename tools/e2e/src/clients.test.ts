import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { certificateLogin, type Login, login } from './digest.ts';
import { newIdentity } from './identity.ts';
import { register, registerCertificate } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { caFile, type Launched, launch, portOf } from './system.ts';

const SECRET = 'first-secret';
const DEADLINE_MS = 20_000;
const VERSIONS = ['mqttv31', 'mqttv311', 'mqttv5'] as const;

let place: Place;
let system: Launched;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  place = await newPlace();
  system = await launch(place);
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});
afterAll(async () => {
  await system.launcher.end();
  await place.remove();
});

const ingress = () => String(portOf(system.launcher.ready['ingress'] ?? ''));

function ingressLogin(): { readonly username: string; readonly password: string } {
  const file = system.launcher.ready['ingressCredential'] ?? '';
  const [username = '', password = ''] = readFileSync(file, 'utf8').trim().split(':');
  return { username, password };
}

/** Runs a program to its end. */
function run(program: string, args: readonly string[], input = ''): Promise<{ code: unknown; said: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: DEADLINE_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, said: stdout + stderr });
    });
    child.stdin?.on('error', () => undefined); // it has ended without reading
    child.stdin?.end(input);
  });
}

/** The lines that a program prints, until it ends. */
function lines(program: string, args: readonly string[]) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  ends.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const said: string[] = [];
  createInterface(child.stdout).on('line', (line) => said.push(line));
  const until = (count: number, timeout = DEADLINE_MS) =>
    vi.waitFor(
      () => {
        if (said.length < count) throw new Error(`${program} has said only ${JSON.stringify(said)}`);
        return said;
      },
      { timeout, interval: 50 },
    );
  return { until, ended };
}

/** An application at the ingress, and what it hears of one device. */
async function application(deviceId: string): Promise<{ readonly client: MqttClient; readonly heard: string[] }> {
  const client = connect({ host: '127.0.0.1', port: Number(ingress()), protocolVersion: 5, ...ingressLogin() });
  ends.push(() => client.endAsync(true));
  const heard: string[] = [];
  client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  await new Promise((resolve) => client.once('connect', resolve));
  await client.subscribeAsync(`$oc/devices/${deviceId}/sys/#`, { qos: 1 });
  return { client, heard };
}

const loginArgs = ({ clientId, username, password }: Login) => [
  ...['-i', clientId, '-u', username],
  ...(password === undefined ? [] : ['-P', password]),
];

describe.each(VERSIONS)('Mosquitto clients with %s', (version) => {
  test('a report goes to an application', async () => {
    const deviceId = `reporter-${version}`;
    await register(system, deviceId, SECRET);
    const topic = `$oc/devices/${deviceId}/sys/properties/report`;
    const { username, password } = ingressLogin();
    const subscriber = lines('mosquitto_sub', [
      ...['-h', '127.0.0.1', '-p', ingress(), '-V', version, '-u', username, '-P', password],
      ...['-t', '$oc/devices/+/sys/#', '-q', '1', '-v', '-C', '1'],
    ]);
    const tls = ['-h', 'localhost', '-p', String(system.mqtts), '--cafile', caFile(system)];
    const args = [
      ...tls,
      '-V',
      version,
      ...loginArgs(login(deviceId, SECRET)),
      '-t',
      topic,
      '-m',
      '{"x":1}',
      '-q',
      '1',
    ];
    // mosquitto_sub tells nobody when it has subscribed, so the report is repeated until it was heard.
    const reported = async () => {
      expect(await run('mosquitto_pub', args)).toEqual({ code: 0, said: '' });
      expect(await subscriber.until(1, 500)).toEqual([`${topic} {"x":1}`]);
    };
    await vi.waitFor(reported, { timeout: DEADLINE_MS, interval: 50 });
  });

  test('a device with a certificate gets in, the same without it does not', async () => {
    const deviceId = `certified-${version}`;
    const identity = await newIdentity(join(system.dataDir, '..'));
    await registerCertificate(system, deviceId, identity.sha256);
    const topic = `$oc/devices/${deviceId}/sys/messages/up`;
    const tls = ['-h', 'localhost', '-p', String(system.mqtts), '--cafile', caFile(system), '-V', version];
    const args = [...tls, ...loginArgs(certificateLogin(deviceId)), '-t', topic, '-m', 'x', '-q', '1'];
    const shown = ['--cert', identity.certificate, '--key', identity.key];
    expect(await run('mosquitto_pub', [...args, ...shown])).toEqual({ code: 0, said: '' });
    const { code } = await run('mosquitto_pub', args);
    expect(code).toBe(version === 'mqttv5' ? 0x86 : 4);
  });
});

describe.each(['mqtt', 'mqtts'] as const)('paho, as the vendor uses it, over %s', (listener) => {
  const paho = (deviceId: string, secret: string, refusals: number) => {
    const script = join(import.meta.dirname, 'paho_device.py');
    const ca = listener === 'mqtts' ? caFile(system) : '';
    return lines('/usr/bin/python3', [script, deviceId, secret, String(system[listener]), ca, String(refusals)]);
  };

  test('a command reaches a device that subscribed to nothing, and its answer the application', async () => {
    const deviceId = `paho-${listener}`;
    await register(system, deviceId, SECRET);
    const { client, heard } = await application(deviceId);
    const device = paho(deviceId, SECRET, 1);
    await device.until(2);
    const topic = `$oc/devices/${deviceId}/sys/commands/request_id=4711`;
    await client.publishAsync(topic, '{"command_name":"ON"}', { qos: 1 });
    await device.ended;
    expect((await device.until(4)).map((line) => JSON.parse(line))).toEqual([
      { connect: 0, session: 0 },
      { published: 1 },
      { topic, payload: '{"command_name":"ON"}', qos: 1 },
      { published: 2 },
    ]);
    await vi.waitFor(() => expect(heard).toHaveLength(3), DEADLINE_MS);
    expect(heard).toEqual([
      `$oc/devices/${deviceId}/sys/events/up {"event_type": "log_report"}`,
      `${topic} {"command_name":"ON"}`,
      `$oc/devices/${deviceId}/sys/commands/response/request_id=4711 {"result_code": 0}`,
    ]);
  });

  test('a wrong secret is refused each time that it comes back', async () => {
    const deviceId = `stubborn-${listener}`;
    await register(system, deviceId, SECRET);
    const device = paho(deviceId, 'another-secret', 2);
    await device.ended;
    expect((await device.until(2)).map((line) => JSON.parse(line))).toEqual([
      { connect: 4, session: 0 },
      { connect: 4, session: 0 },
    ]);
  });
});

describe('openssl s_client', () => {
  const handshake = (...options: readonly string[]) => {
    const place = ['-connect', `127.0.0.1:${system.mqtts}`, '-servername', 'localhost', '-CAfile', caFile(system)];
    return run('openssl', ['s_client', ...place, '-verify_return_error', ...options]);
  };

  test.each([
    ['-tls1_2', 'TLSv1.2'],
    ['-tls1_3', 'TLSv1.3'],
  ])('%s: the server is who it says, and asks for a certificate without demanding one', async (option, version) => {
    const { code, said } = await handshake(option);
    expect(code).toBe(0);
    expect(said).toContain('Verification: OK');
    expect(said).toMatch(new RegExp(`Protocol *: ${version}|New, ${version}`));
    expect(said).toContain('Requested Signature Algorithms');
  });

  test('-tls1_1 is refused', async () => {
    const { code, said } = await handshake('-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0');
    expect(code).toBe(1);
    expect(said).toMatch(/alert protocol version|no protocols available/);
  });
});
