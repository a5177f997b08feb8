import { StoreUnavailable } from '@latchkey/store';
import { addressText, type RedisAddress } from './address.ts';
import { openSession, REPLY_DEADLINE_MS, type Session } from './session.ts';

/** Where the sentinels are, and under what name they know the master. */
export type Sentinels = { readonly sentinels: readonly RedisAddress[]; readonly masterName: string };

/** Sentinels mostly run without a password beside servers that have one, so the first try is without. */
async function openSentinel(address: RedisAddress): Promise<Session> {
  const plain = { ...address, database: 0, username: undefined, password: undefined };
  try {
    return await openSession(plain, REPLY_DEADLINE_MS);
  } catch (error) {
    if (address.password === undefined || !String(error).includes('a password is needed')) throw error;
    return openSession({ ...address, database: 0 }, REPLY_DEADLINE_MS);
  }
}

async function ask(sentinel: RedisAddress, masterName: string): Promise<RedisAddress> {
  const session = await openSentinel(sentinel);
  try {
    const reply = await session.call(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]);
    if (!Array.isArray(reply)) throw new StoreUnavailable(`Redis at ${addressText(sentinel)}: knows no such master`);
    return { ...sentinel, host: String(reply[0]), port: Number(reply[1]) };
  } finally {
    session.end('asked');
  }
}

/**
 * Tells the master's address as the first sentinel says that answers, each asked in turn within a deadline, each time
 * beginning with the next one: one that was cut off still names the master before. So whoever connects there looks
 * whether it is a master. Rejects with a StoreUnavailable.
 */
export function masterLocator({ sentinels, masterName }: Sentinels): () => Promise<RedisAddress> {
  let begun = 0;
  return async () => {
    const first = begun++ % sentinels.length;
    const reasons: string[] = [];
    for (const sentinel of [...sentinels.slice(first), ...sentinels.slice(0, first)]) {
      try {
        return await ask(sentinel, masterName);
      } catch (error) {
        reasons.push(error instanceof Error ? error.message : String(error));
      }
    }
    throw new StoreUnavailable(`no sentinel tells where the master ${masterName} is: ${reasons.join('; ')}`);
  };
}
