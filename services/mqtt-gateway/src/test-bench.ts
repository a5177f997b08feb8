import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import type { Limits, TlsIdentity } from '@latchkey/gateway-kit';
import { granted, TableAuth } from '@latchkey/gateway-kit/testing';
import { createLog, parseAddress } from '@latchkey/runtime';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { vi } from 'vitest';
import type { Config } from './config.ts';
import type { IngressCredential } from './embedded/ingress-config.ts';
import type { UpstreamConfig } from './front-door/upstream.ts';
import { type Deadlines, startMqttGateway } from './wire.ts';

const STAMP = '2025041401';

/** Wide enough for any test that is not about them. */
const LIMITS: Limits = {
  ...{ connections: 1_000, sourceConnections: 1_000, sourceRate: 1_000, decisions: 1_000 },
  ...{ loopDelayMs: 0, drainMs: 200 },
};

/** A gateway with an auth service of its own, for a test. */
export type Bench = {
  readonly table: TableAuth;
  readonly authPort: number;
  readonly mqtt: number;
  readonly mqtts: number;
  /** The port of a listener by its name in the ready line. */
  readonly portOf: (name: string) => number;
  readonly url: (path: string) => string;
  readonly logged: readonly string[];
  readonly stop: () => Promise<void>;
};

/** Starts both; `absent` leaves the auth service away. The table grants all until the test says otherwise. */
export async function startBench(
  options: {
    readonly identity?: () => TlsIdentity;
    readonly ingress?: IngressCredential;
    readonly absent?: boolean;
    readonly deadlines?: Deadlines;
    readonly limits?: Partial<Limits>;
    readonly upstream?: UpstreamConfig;
  } = {},
): Promise<Bench> {
  const table = new TableAuth();
  table.answer = ({ deviceId }) => granted(`${deviceId}-1`, 1n);
  const authPort = await table.start();
  if (options.absent) table.stop();
  const free = { host: '127.0.0.1', port: 0 };
  const logged: string[] = [];
  const log = createLog({ service: 'test', level: 'debug', to: { write: (line) => void logged.push(line) } });
  const { identity, upstream } = options;
  const limits = { ...LIMITS, ...options.limits };
  const withTls = identity && free;
  const ingress = options.ingress && { address: free, tls: false, credential: options.ingress };
  const listeners = { mqtt: free, mqtts: withTls, ws: free, wss: withTls, ingress, metrics: free };
  const config: Config = {
    ...{ ...listeners, identity, auth: [{ ...free, port: authPort }] },
    ...{ upstream, limits, logLevel: 'debug' },
  };
  const gateway = await startMqttGateway(config, log, options.deadlines);
  const portOf = (name: string) => parseAddress(String(gateway.ready[name] ?? '0')).port;
  const url = (path: string) => `http://127.0.0.1:${portOf('metrics')}${path}`;
  if (!options.absent) await until(async () => (await fetch(url('/readyz'))).ok);
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= gateway.stop().finally(() => table.stop());
    return stopped;
  };
  return { table, authPort, mqtt: portOf('mqtt'), mqtts: portOf('mqtts'), portOf, url, logged, stop };
}

/** Waits until something is so; fails after 8 s. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await holds())) throw new Error('not so yet');
    },
    { timeout: 20_000, interval: 20 },
  );
}

/** What a device of this id and secret sends in CONNECT. */
export function login(deviceId: string, secret = '12345678') {
  return {
    clientId: `${deviceId}_0_0_${STAMP}`,
    username: deviceId,
    password: createHmac('sha256', STAMP).update(secret).digest('hex'),
  };
}

/** Connects with mqtt.js, without reconnects; resolves with the client, or with the return code of a refusal. */
export function dial(port: number, options: IClientOptions): Promise<MqttClient | number> {
  return new Promise((resolve, reject) => {
    const client = connect({
      host: '127.0.0.1',
      port,
      keepalive: 60,
      reconnectPeriod: 0,
      protocolVersion: 4,
      ...options,
    });
    client.once('connect', () => resolve(client));
    client.on('error', (error) =>
      'code' in error && typeof error.code === 'number' ? resolve(error.code) : reject(error),
    );
    client.once('close', () => reject(new Error('closed without an answer')));
  });
}

/** Connects and answers the client; fails on a refusal. */
export async function dialIn(port: number, options: IClientOptions): Promise<MqttClient> {
  const client = await dial(port, options);
  if (typeof client === 'number') throw new Error(`refused with ${client}`);
  return client;
}

/** Resolves when the gateway has closed the client's link. */
export function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    client.once('close', resolve);
  });
}

/** Runs mosquitto_pub; answers its exit code and what it said. */
export function mosquittoPub(args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  return new Promise((resolve) => {
    execFile('mosquitto_pub', args, { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr });
    });
  });
}
