import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '@latchkey/kernel/testing';
import { connectAsync, type MqttClient } from 'mqtt';

/** A Mosquitto that wants a password, and who reads all that devices report. */
export type Broker = {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** Topics and payloads that have arrived. */
  readonly arrived: { readonly topic: string; readonly payload: Buffer }[];
  /** What an application sends; resolves once the broker has it. */
  readonly publish: (topic: string, payload: string, options?: { readonly retain?: boolean }) => Promise<void>;
  /** Stops it as if it hung; false goes on. */
  readonly hang: (hangs: boolean) => void;
  readonly kill: () => Promise<void>;
  /** After `kill`: on the same port. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

const USER = 'gateway';
const PASSWORD = 'upstream-canary-1';

/** It listens within 8 s, or never. */
const MAX_ATTEMPTS = 400;
const ATTEMPT_MS = 20;

/** Debian puts the broker where the search path of users does not lead. */
const ENV = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };

/** Starts one on a free loopback port. `more` are lines of its configuration. */
export async function startBroker(...more: readonly string[]): Promise<Broker> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-broker-'));
  const port = await freePort();
  const file = join(folder, 'mosquitto.conf');
  execFileSync('mosquitto_passwd', ['-b', '-c', join(folder, 'passwords'), USER, PASSWORD], { env: ENV });
  chmodSync(join(folder, 'passwords'), 0o600);
  const lines = [
    ...[`listener ${port} 127.0.0.1`, 'allow_anonymous false', `password_file ${join(folder, 'passwords')}`],
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    ...more,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const url = `mqtt://127.0.0.1:${port}`;
  const arrived: { topic: string; payload: Buffer }[] = [];
  let child: ChildProcess;
  let reader: MqttClient;
  const start = async () => {
    child = spawn('mosquitto', ['-c', file], { stdio: 'ignore', env: ENV });
    for (let attempt = 0; attempt < MAX_ATTEMPTS && !(await isOpen(port)); attempt++) await pause(ATTEMPT_MS);
    reader = await connectAsync(url, { username: USER, password: PASSWORD, reconnectPeriod: 0 });
    reader.on('error', () => undefined);
    reader.on('message', (topic, payload) => arrived.push({ topic, payload }));
    await reader.subscribeAsync('$oc/#', { qos: 1 });
  };
  const kill = async () => {
    reader.end(true);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  await start();
  return {
    ...{ url, user: USER, password: PASSWORD, arrived, kill, restart: start },
    publish: async (topic, payload, { retain = false } = {}) => {
      await reader.publishAsync(topic, payload, { qos: 1, retain });
    },
    hang: (hangs) => void child.kill(hangs ? 'SIGSTOP' : 'SIGCONT'),
    stop: async () => {
      await kill();
      rmSync(folder, { recursive: true });
    },
  };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
