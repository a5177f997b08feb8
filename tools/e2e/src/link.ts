import { connect, type IClientOptions } from 'mqtt';
import { COME_AGAIN, whileUndecided } from './again.ts';
import type { Login } from './digest.ts';

/** A device's link that stays open. */
export type Link = {
  readonly isOpen: () => boolean;
  /** Publishes on the device's own topic; settled by the gateway's acknowledgement. */
  readonly publish: () => Promise<void>;
  /** Waits until the link has closed, whoever closed it. Rejects when it stays open for 20 s. */
  readonly closed: () => Promise<void>;
  /** Says DISCONNECT. */
  readonly close: () => Promise<void>;
};

/** A gateway hears of a change within milliseconds; a busy machine is slower. */
const CLOSE_DEADLINE_MS = 20_000;

/** Connects with mqtt.js; gives the link, or the return code of a refusal. Rejects when neither comes. */
export function dialOnce(port: number, login: Login, more: IClientOptions = {}): Promise<Link | number> {
  const { username } = login;
  return new Promise((resolve, reject) => {
    const client = connect({ host: '127.0.0.1', port, keepalive: 60, reconnectPeriod: 0, ...login, ...more });
    const end = new Promise<void>((done) => client.once('close', () => done()));
    const closed = () => within(CLOSE_DEADLINE_MS, end, `the link of ${username} stays open`);
    const publish = async () => {
      const closedMeanwhile = end.then(() => Promise.reject(new Error(`the link of ${username} has closed`)));
      const topic = `$oc/devices/${username}/sys/messages/up`;
      await Promise.race([client.publishAsync(topic, 'hello', { qos: 1 }), closedMeanwhile]);
    };
    const close = () => client.endAsync();
    client.once('connect', () => resolve({ isOpen: () => client.connected, publish, closed, close }));
    client.on('error', (error) =>
      'code' in error && typeof error.code === 'number' ? resolve(error.code) : reject(error),
    );
    client.once('close', () => reject(new Error('closed without an answer')));
  });
}

/** The same, and it comes again when it is told to. */
export function dial(port: number, login: Login, more: IClientOptions = {}): Promise<Link | number> {
  return whileUndecided(() => dialOnce(port, login, more), COME_AGAIN);
}

/** Connects a device that must be let in. */
export async function dialIn(port: number, login: Login, more: IClientOptions = {}): Promise<Link> {
  const link = await dial(port, login, more);
  if (typeof link === 'number') throw new Error(`${login.username} was refused with ${link}`);
  return link;
}

async function within(deadlineMs: number, promise: Promise<void>, message: string): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => late.reject(new Error(message)), deadlineMs);
  await Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}
