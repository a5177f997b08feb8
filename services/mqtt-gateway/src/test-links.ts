import { connect as connectTcp, type Socket } from 'node:net';
import { granted } from '@latchkey/gateway-kit/testing';
import type { IClientOptions, MqttClient } from 'mqtt';
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Bench, dialIn, login, startBench, until } from './test-bench.ts';

/** A version as the clients are told it, and the column of its answers. */
export const VERSIONS = [
  { name: 'MQTT 3.1', speak: { protocolVersion: 3, protocolId: 'MQIsdp' }, flag: 'mqttv31', column: 'mqtt3' },
  { name: 'MQTT 3.1.1', speak: { protocolVersion: 4 }, flag: 'mqttv311', column: 'mqtt3' },
  { name: 'MQTT 5', speak: { protocolVersion: 5 }, flag: 'mqttv5', column: 'mqtt5' },
] as const;

/** Sends packets, and answers what came back as soon as it is so many. */
export type Speaker = {
  readonly send: (...packets: readonly Packet[]) => void;
  readonly heard: (count: number) => Promise<readonly Packet[]>;
};

/** One gateway for all tests of a file. After each test its links end, all devices are granted again. */
export class Links {
  readonly #ends: (() => unknown)[] = [];
  #bench: Bench | undefined;
  #named = 0;

  constructor(options: Parameters<typeof startBench>[0] = {}) {
    beforeAll(async () => {
      this.#bench = await startBench(options);
    });
    afterEach(async () => {
      for (const end of this.#ends.splice(0)) await end();
      this.bench.table.answer = ({ deviceId }) => granted(`${deviceId}-1`, 1n);
      await until(async () => (await this.openSessions()) === 0);
    });
    afterAll(() => this.#bench?.stop());
  }

  /** The gateway, once the tests run. */
  get bench(): Bench {
    if (this.#bench === undefined) throw new Error('there is no gateway yet');
    return this.#bench;
  }

  /** Done when the test is over. */
  after(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** A device id that no other test has: some leave a closing behind. */
  device(): string {
    this.#named++;
    return `device_${this.#named}`;
  }

  /** A device that got in; its link ends with the test. */
  async online(deviceId: string, options: IClientOptions): Promise<MqttClient> {
    const client = await dialIn(this.bench.mqtt, { ...login(deviceId), ...options });
    this.after(() => client.endAsync(true));
    return client;
  }

  /** A plain connection, for what no client library would send. */
  async socket(): Promise<Socket> {
    const tcp = connectTcp(this.bench.mqtt, '127.0.0.1');
    this.after(() => tcp.destroy());
    tcp.on('error', () => undefined);
    await new Promise((resolve) => tcp.once('connect', resolve));
    return tcp.resume();
  }

  /** A plain connection that speaks MQTT packet by packet, for what no client library would send. */
  async speaker(protocolVersion: 3 | 4 | 5): Promise<Speaker> {
    const tcp = await this.socket();
    const heard: Packet[] = [];
    const reader = parser({ protocolVersion });
    reader.on('packet', (packet) => heard.push(packet));
    tcp.on('data', (chunk: Buffer) => reader.parse(chunk));
    return {
      send: (...packets) => {
        tcp.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion }))));
      },
      heard: async (count) => {
        await until(() => heard.length >= count);
        return heard;
      },
    };
  }

  /** Sessions that the gateway has. */
  openSessions(): Promise<number> {
    return this.figure('latchkey_gateway_sessions_open');
  }

  /** The first sample of /metrics that begins so; 0 when there is none. */
  async figure(name: string): Promise<number> {
    const text = await (await fetch(this.bench.url('/metrics'))).text();
    const line = text.split('\n').find((each) => each.startsWith(name)) ?? '0';
    return Number(line.slice(line.lastIndexOf(' ')));
  }
}

/** Resolves when the gateway has closed a plain connection. */
export function gone(tcp: Socket): Promise<void> {
  return new Promise((resolve) => {
    tcp.once('close', () => resolve());
  });
}

/** Subscribes and answers what SUBACK grants: a QoS or a failure each. */
export async function subscribe(client: MqttClient, topics: string[]): Promise<unknown> {
  const suback = new Promise((resolve) => {
    client.on('packetreceive', (packet) => packet.cmd === 'suback' && resolve(packet.granted));
  });
  client.subscribe(topics, { qos: 1 }, () => undefined);
  return suback;
}

/** What a client hears from now on, each as `topic payload`. */
export function hearing(client: MqttClient): string[] {
  const heard: string[] = [];
  client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  return heard;
}

/** The reason code of the DISCONNECT that ends a link of MQTT 5; undefined when it just closes. */
export function farewell(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => {
    client.once('disconnect', ({ reasonCode }) => resolve(reasonCode));
    client.once('close', () => resolve(undefined));
  });
}

/** The CONNECT of a device. */
export function connectPacket(deviceId: string, protocolVersion: 3 | 4 | 5): IConnectPacket {
  const { clientId, username, password } = login(deviceId);
  return {
    cmd: 'connect',
    protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion,
    clientId,
    username,
    password: Buffer.from(password),
    keepalive: 60,
    clean: true,
  };
}
