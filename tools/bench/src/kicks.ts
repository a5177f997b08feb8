import { setTimeout as pause } from 'node:timers/promises';
import { connect, type MqttClient } from 'mqtt';
import { deviceIdOf, proofOf } from './devices.ts';
import type { Operator } from './operator.ts';

/** Longer than a gateway may need in any case; a link that is open then stays open. */
const CLOSE_DEADLINE_MS = 5_000;

/** Seconds: within what the gateway takes, and longer than a link lasts here. */
const KEEPALIVE_S = 600;

/** Which devices are connected and sent away, one after the other. */
export type KickOptions = {
  readonly mqttPort: number;
  /** They take turns. */
  readonly operators: readonly Operator[];
  readonly first: number;
  readonly count: number;
  readonly timestamp: string;
};

/**
 * Connects devices by MQTT and resets each with forced disconnect: milliseconds from the answer until the device sees
 * its link close, 0 where that was before the answer. Rejects when a device is not let in, or stays.
 */
export async function kickTimes(options: KickOptions): Promise<readonly number[]> {
  const times: number[] = [];
  for (let index = options.first; index < options.first + options.count; index++) {
    const client = await dialIn(index, options);
    let closedMs: number | undefined;
    const closed = new Promise<void>((resolve) => {
      client.once('close', () => {
        closedMs = performance.now();
        resolve();
      });
    });
    await options.operators[index % options.operators.length]?.reset(index, true);
    const answeredMs = performance.now();
    await Promise.race([closed, pause(CLOSE_DEADLINE_MS, undefined, { ref: false })]);
    if (closedMs === undefined) throw new Error(`${deviceIdOf(index)} was reset and its link stays open`);
    times.push(Math.max(0, closedMs - answeredMs));
  }
  return times;
}

function dialIn(index: number, { mqttPort, timestamp }: KickOptions): Promise<MqttClient> {
  const username = deviceIdOf(index);
  const { password, signType } = proofOf(index, timestamp);
  const clientId = `${username}_0_${signType}_${timestamp}`;
  const options = { host: '127.0.0.1', port: mqttPort, keepalive: KEEPALIVE_S, reconnectPeriod: 0 };
  return new Promise((resolve, reject) => {
    const client = connect({ ...options, clientId, username, password });
    client.once('connect', () => resolve(client));
    client.once('close', () => reject(new Error(`${username} had no CONNACK`)));
    client.on('error', reject);
  });
}
