import { setTimeout as pause } from 'node:timers/promises';
import { StoreUnavailable } from '@latchkey/store';
import { addressText, type RedisAddress } from './address.ts';
import { Followers } from './followers.ts';
import { type Caller, openSession, REPLY_DEADLINE_MS, type Reply, type Session } from './session.ts';
import type { Host } from './shard.ts';

/** Where the sentinels are, and under what name they know the master. */
export type Sentinels = { readonly sentinels: readonly RedisAddress[]; readonly masterName: string };

/** What a sentinel knows of a master. */
export type Mastership = {
  readonly address: RedisAddress;
  /** Grows with each failover. */
  readonly epoch: number;
  /** Replicas that could take over. */
  readonly replicas: number;
};

/** Pause between looks: with the deadline of a look and a lease it stays under the shortest fence, 3 s. */
const LOOK_MS = 1_000;

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

function fieldsOf(row: Reply): ReadonlyMap<string, string> {
  return new Map(Object.entries(row ?? {}).map(([name, value]) => [name, String(value)]));
}

/** A replica that the sentinel reaches and that says that it is one; the master itself may stand among them. */
function couldTakeOver(row: ReadonlyMap<string, string>, master: RedisAddress): boolean {
  const flags = row.get('flags')?.split(',') ?? [];
  if (flags.some((flag) => flag === 's_down' || flag === 'o_down' || flag === 'disconnected')) return false;
  if (row.get('ip') === master.host && row.get('port') === String(master.port)) return false;
  return row.get('role-reported') === 'slave';
}

async function ask(sentinel: RedisAddress, masterName: string): Promise<Mastership> {
  const session = await openSentinel(sentinel);
  try {
    const named = await session.call(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]);
    if (!Array.isArray(named)) throw new StoreUnavailable(`Redis at ${addressText(sentinel)}: knows no such master`);
    const address = { ...sentinel, host: String(named[0]), port: Number(named[1]) };
    const [master, rows] = await Promise.all([
      session.call(['SENTINEL', 'MASTER', masterName]),
      session.call(['SENTINEL', 'REPLICAS', masterName]),
    ]);
    const known = Array.isArray(rows) ? rows.map(fieldsOf) : [];
    const replicas = known.filter((row) => couldTakeOver(row, address)).length;
    return { address, epoch: Number(fieldsOf(master).get('config-epoch') ?? 0), replicas };
  } finally {
    session.end('asked');
  }
}

/**
 * The newest that any of the sentinels knows, and the most replicas that one of those sees: a sentinel that was cut off
 * still names the master before. So whoever connects there looks whether it is a master. Rejects with a StoreUnavailable.
 */
async function askAll({ sentinels, masterName }: Sentinels): Promise<Mastership> {
  const asked = await Promise.allSettled(sentinels.map((sentinel) => ask(sentinel, masterName)));
  const answers = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const epoch = Math.max(...answers.map((answer) => answer.epoch));
  const newest = answers.filter((answer) => answer.epoch === epoch);
  const [first] = newest;
  if (first !== undefined) return { ...first, replicas: Math.max(...newest.map(({ replicas }) => replicas)) };
  const reasons = asked.flatMap((one) => (one.status === 'rejected' ? [String(one.reason?.message)] : []));
  throw new StoreUnavailable(`no sentinel tells where the master ${masterName} is: ${reasons.join('; ')}`);
}

/** Replicas that follow a master, as it says itself. */
async function attachedTo(master: Caller): Promise<number> {
  const role = await master.call(['ROLE']);
  return Array.isArray(role) && Array.isArray(role[2]) ? role[2].length : 0;
}

/** Where the master is, once. Rejects with a StoreUnavailable. */
export async function locateMaster(sentinels: Sentinels): Promise<RedisAddress> {
  return (await askAll(sentinels)).address;
}

/**
 * Follows what the sentinels say of the master. One that was replaced while it works does not know that for seconds, and
 * goes on to serve; so whoever uses it has to leave.
 */
export class MasterWatch {
  readonly #sentinels: Sentinels;
  readonly #closing = new AbortController();
  #epoch = 0;
  #followers = new Followers();

  constructor(sentinels: Sentinels) {
    this.#sentinels = sentinels;
  }

  /** Where the master is; from now on that one is followed. Rejects with a StoreUnavailable. */
  async locate(): Promise<RedisAddress> {
    const { address, epoch, replicas } = await askAll(this.#sentinels);
    if (epoch !== this.#epoch) this.#followers = new Followers();
    this.#epoch = epoch;
    this.#followers.note(replicas);
    return address;
  }

  /** Replicas of the master that could take over. */
  get followers(): number {
    return this.#followers.count;
  }

  /** The master that was located says that so many replicas follow it: a sentinel learns of a new one only after 10 s. */
  met(attached: number): void {
    this.#followers.note(attached);
  }

  /** Looks again and again, and has the connection of `node` end when there was a failover since the master was located. */
  async watch(node: Host): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await pause(LOOK_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const connection = node.current;
      const looks = Promise.all([
        askAll(this.#sentinels),
        connection === undefined ? 0 : attachedTo(connection.control),
      ]);
      const [seen, attached] = (await looks.catch(() => undefined)) ?? []; // nobody can tell: all stays as it is
      if (seen === undefined || connection === undefined || connection !== node.current) continue;
      if (seen.epoch > this.#epoch) connection.end('the sentinels name another master');
      else if (seen.epoch === this.#epoch) this.#followers.note(Math.max(seen.replicas, attached ?? 0));
    }
  }

  close(): void {
    this.#closing.abort();
  }
}
