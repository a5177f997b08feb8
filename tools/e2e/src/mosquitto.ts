import { execFile } from 'node:child_process';
import { COME_AGAIN, whileUndecided } from './again.ts';
import type { Login } from './digest.ts';

/** How to connect, beyond the login. */
export type Way = {
  readonly version?: 'mqttv31' | 'mqttv311';
  readonly keepaliveS?: number;
  /** The address of this machine to come from. */
  readonly from?: string;
  /** With TLS: the CA's file, and the device's certificate where it has one. */
  readonly tls?: { readonly ca: string; readonly certificate?: string; readonly key?: string };
};

/** A stuck client is a failure after this time. */
const DEADLINE_MS = 15_000;

/** The same as `mosquittoOnce`, and it comes again when it is told to. */
export function mosquitto(port: number, login: Login, way: Way = {}): Promise<number> {
  return whileUndecided(() => mosquittoOnce(port, login, way), COME_AGAIN);
}

/**
 * Connects and publishes one message with QoS 1 by `mosquitto_pub`. Gives its exit code, which is the return code of
 * CONNACK when the gateway refused, and 0 when the message was acknowledged.
 */
export function mosquittoOnce(port: number, login: Login, way: Way = {}): Promise<number> {
  const { clientId, username, password } = login;
  const args = [
    ...['-h', '127.0.0.1', '-p', String(port), '-V', way.version ?? 'mqttv311', '-k', String(way.keepaliveS ?? 60)],
    ...['-i', clientId, '-u', username, ...(password === undefined ? [] : ['-P', password])],
    ...['-t', `$oc/devices/${username}/sys/messages/up`, '-m', 'hello', '-q', '1', ...tlsArgs(way.tls)],
    ...(way.from === undefined ? [] : ['-A', way.from]),
  ];
  return new Promise((resolve, reject) => {
    execFile('mosquitto_pub', args, { timeout: DEADLINE_MS }, (error) => {
      if (error === null) return resolve(0);
      if (typeof error.code === 'number') return resolve(error.code);
      reject(new Error(error.killed ? 'mosquitto_pub is stuck' : `mosquitto_pub does not run: ${error.message}`));
    });
  });
}

function tlsArgs(tls: Way['tls']): string[] {
  if (tls === undefined) return [];
  const { ca, certificate, key } = tls;
  return [
    ...['--cafile', ca],
    ...(certificate === undefined ? [] : ['--cert', certificate]),
    ...(key === undefined ? [] : ['--key', key]),
  ];
}
