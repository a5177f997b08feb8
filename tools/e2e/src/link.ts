import { connect, type IClientOptions } from 'mqtt';
import type { Login } from './digest.ts';

/** A device's link that stays open. */
export type Link = {
  readonly isOpen: () => boolean;
  /** Publishes on the device's own topic; settled by the gateway's acknowledgement. */
  readonly publish: () => Promise<void>;
  /** Settled when the link has closed, whoever closed it. */
  readonly closed: Promise<void>;
  /** Says DISCONNECT. */
  readonly close: () => Promise<void>;
};

/** Connects with mqtt.js; gives the link, or the return code of a refusal. Rejects when neither comes. */
export function dial(port: number, login: Login, more: IClientOptions = {}): Promise<Link | number> {
  const { username } = login;
  return new Promise((resolve, reject) => {
    const client = connect({ host: '127.0.0.1', port, keepalive: 60, reconnectPeriod: 0, ...login, ...more });
    const closed = new Promise<void>((end) => client.once('close', () => end()));
    const publish = async () => {
      await client.publishAsync(`$oc/devices/${username}/sys/messages/up`, 'hello', { qos: 1 });
    };
    const close = () => client.endAsync();
    client.once('connect', () => resolve({ isOpen: () => client.connected, publish, closed, close }));
    client.on('error', (error) =>
      'code' in error && typeof error.code === 'number' ? resolve(error.code) : reject(error),
    );
    client.once('close', () => reject(new Error('closed without an answer')));
  });
}

/** Connects a device that must be let in. */
export async function dialIn(port: number, login: Login, more: IClientOptions = {}): Promise<Link> {
  const link = await dial(port, login, more);
  if (typeof link === 'number') throw new Error(`${login.username} was refused with ${link}`);
  return link;
}
