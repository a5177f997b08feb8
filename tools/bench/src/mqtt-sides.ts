import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { activate } from './attempts.ts';
import { startAuthServer } from './auth-server.ts';
import { type Broker, newPair, type Pair, startMosquitto, startRabbitmq, type User } from './brokers.ts';
import type { Workers } from './by-process.ts';
import { deviceIdOf, proofOf, secretOf } from './devices.ts';
import { connectPacket, type Dial, plainDial, tlsDial } from './mqtt-client.ts';
import type { Plan } from './plan.ts';
import type { Server } from './processes.ts';

const GATEWAY = resolve(import.meta.dirname, '../../../services/mqtt-gateway/src/main.ts');

/** Options of a gateway: all devices are one source here, which never gives way. */
export const ONE_SOURCE = [
  '--max-source-rate',
  '1000000',
  '--max-source-connections',
  '100000',
  '--max-loop-delay-ms',
  '0',
];

/** How long a gateway may take to reach the auth service. */
const READY_DEADLINE_MS = 30_000;
const PROBE_PAUSE_MS = 50;

/** The gateway's own login at Mosquitto. */
const FRONT_DOOR_USER: User = { name: 'front-door', password: secretOf(-1) };

/** One way to let devices in. */
export type MqttSide = Workers & {
  readonly name: string;
  readonly plain: Dial;
  readonly tls: Dial;
  /** A CONNECT for each device. */
  readonly packets: readonly Buffer[];
};

/** Starts all sides that this machine has programs for, and says which it has not. */
export async function startSides(plan: Plan, devices: number, timestamp: string): Promise<readonly MqttSide[]> {
  const { processes } = plan;
  const pair = await newPair(processes);
  const logins = Array.from({ length: devices }, (_, index) => ({
    ...{ clientId: deviceIdOf(index), username: deviceIdOf(index), password: secretOf(index) },
  }));
  const users = [...logins.map(({ username: name, password }) => ({ name, password })), FRONT_DOOR_USER];
  const setup = { processes, users, pair };
  const packets = logins.map(connectPacket);
  const [mosquitto, rabbitmq] = [await startMosquitto(setup), await startRabbitmq(setup)];
  if (mosquitto === undefined) plan.say('mqtt: mosquitto is not installed: no front door, no Mosquitto');
  if (rabbitmq === undefined) plan.say('mqtt: rabbitmq-server is not installed: no RabbitMQ');
  return [
    ...(await gatewaySides({ plan, pair, mosquitto, devices, timestamp })),
    ...brokerSide('mosquitto', mosquitto, { pair, packets }),
    ...brokerSide('rabbitmq', rabbitmq, { pair, packets }),
  ];
}

type GatewayOptions = {
  readonly plan: Plan;
  readonly pair: Pair;
  readonly mosquitto: Broker | undefined;
  readonly devices: number;
  readonly timestamp: string;
};

/** Two gateways at one auth service; only one of them is busy at a time. */
async function gatewaySides(options: GatewayOptions): Promise<readonly MqttSide[]> {
  const { plan, pair, mosquitto, devices, timestamp } = options;
  const auth = await startAuthServer(plan.processes, devices);
  await activate(auth, devices, timestamp);
  const packets = Array.from({ length: devices }, (_, index) => gatewayPacket(index, timestamp));
  const side = async (name: string, beside: MqttSide['beside'], extra: readonly string[]) => {
    const listeners = ['mqtt', 'mqtts', 'metrics'].flatMap((listener) => [`--${listener}`, '127.0.0.1:0']);
    const tls = ['--tls-cert', pair.cert, '--tls-key', pair.key];
    const rest = [...ONE_SOURCE, '--auth', auth.field('grpc'), '--log-level', 'error', ...extra];
    const gateway = await plan.processes.start(GATEWAY, [...listeners, ...tls, ...rest]);
    await untilReady(gateway);
    const ports = { port: portOf(gateway, 'mqtt'), tlsPort: portOf(gateway, 'mqtts') };
    return { name, own: { gateway, auth }, beside, packets, ...dials(ports, pair) };
  };
  const embedded = await side('embedded', {}, []);
  if (mosquitto === undefined) return [embedded];
  const passwordFile = join(plan.processes.directory(), 'password');
  writeFileSync(passwordFile, FRONT_DOOR_USER.password, { mode: 0o600 });
  const login = ['--upstream-username', FRONT_DOOR_USER.name, '--upstream-password-file', passwordFile];
  const upstream = ['--upstream', `mqtt://127.0.0.1:${mosquitto.port}`, ...login];
  return [embedded, await side('front_door', { mosquitto }, upstream)];
}

/** Waits for a gateway, which listens before it has its connection to the auth service. Rejects when that does not come. */
export async function untilReady(gateway: Server): Promise<void> {
  for (let waitedMs = 0; waitedMs < READY_DEADLINE_MS; waitedMs += PROBE_PAUSE_MS) {
    if ((await fetch(`http://${gateway.field('metrics')}/readyz`)).ok) return;
    await pause(PROBE_PAUSE_MS);
  }
  throw new Error('the gateway does not reach the auth service');
}

function gatewayPacket(index: number, timestamp: string): Buffer {
  const username = deviceIdOf(index);
  const { signType, password } = proofOf(index, timestamp);
  return connectPacket({ clientId: `${username}_0_${signType}_${timestamp}`, username, password });
}

function brokerSide(
  name: string,
  broker: Broker | undefined,
  { pair, packets }: { readonly pair: Pair; readonly packets: readonly Buffer[] },
): readonly MqttSide[] {
  if (broker === undefined) return [];
  return [{ name, own: { [name]: broker }, beside: {}, packets, ...dials(broker, pair) }];
}

function dials({ port, tlsPort }: Pick<Broker, 'port' | 'tlsPort'>, { cert }: Pair) {
  return { plain: plainDial(port), tls: tlsDial(tlsPort, readFileSync(cert, 'utf8')) };
}

function portOf(gateway: Server, listener: string): number {
  return Number(gateway.field(listener).split(':').at(-1));
}
