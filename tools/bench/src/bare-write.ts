import { systemRandom } from '@latchkey/kernel';
import { generateKeyLine, packState, parseKeyring } from '@latchkey/store';
import { deviceIdOf, secretOf } from './devices.ts';
import { newState } from './record-source.ts';
import { connectRedis, type RedisArgument } from './redis-client.ts';

const DEVICES = 1_000;
const NONCE_BYTES = 9;

/** Keys as the store lays them out, in a place of their own: replicas do not follow this log. */
const key = (name: string) => `lk:{bare}:${name}`;

/** Writes records as the store does, by a plain client. */
export type BareWriter = {
  /** One write: record, log entry and message, by the store's own function. */
  readonly write: () => Promise<void>;
  readonly close: () => void;
};

/** A writer on a Redis that a replica has given the function. */
export async function bareWriter(url: string): Promise<BareWriter> {
  const client = await connectRedis(url, { lean: false });
  const commands = Array.from({ length: DEVICES }, (_, index) => commandOf(index));
  const revisions = new Array<string>(DEVICES).fill('0');
  let turn = 0;
  return {
    write: async () => {
      const index = turn++ % DEVICES;
      const reply = await client.call(commands[index]?.(revisions[index] ?? '0') ?? []);
      const [outcome, revision] = reply as readonly [string, string];
      if (outcome !== 'W') throw new Error(`the bare write was answered ${outcome}`);
      revisions[index] = revision;
    },
    close: client.close,
  };
}

/** What writes one device, sealed and packed beforehand: the write alone is to be measured. */
function commandOf(index: number): (expectedRevision: string) => RedisArgument[] {
  const keyring = parseKeyring(generateKeyLine('bare', systemRandom));
  const deviceId = deviceIdOf(index);
  const body = Buffer.from(packState(newState(deviceId, secretOf(index)), keyring, systemRandom));
  const keys = [key(`d:${deviceId}`), key('log'), key('ids'), key('overdue'), key(`u:${deviceId}`)];
  const entry = `${Buffer.from(systemRandom(NONCE_BYTES)).toString('base64url')} UPDATED - ${deviceId}`;
  const rest = [body, entry, '0', '', '', key('changes'), ''];
  return (revision) => ['FCALL', 'lk_write', String(keys.length), ...keys, deviceId, revision, ...rest];
}
