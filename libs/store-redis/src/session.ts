import { StoreUnavailable } from '@latchkey/store';
import { createClient, ErrorReply, RESP_TYPES, type RedisArgument } from 'redis';
import { addressText, type RedisAddress } from './address.ts';

/** How long a reply may take: shorter than a lease, longer than a slow fsync. */
export const REPLY_DEADLINE_MS = 700;

/** How long connecting and greeting may take, TLS included. */
const CONNECT_DEADLINE_MS = 2_000;

/** Most commands without a reply on one connection: about 100 MB of records; more only wait in memory. */
const MAX_PENDING = 65_536;

/** Refusals of a server that is not, or no longer, the one to ask. */
const WRONG_SERVER = /^(MOVED|READONLY|MASTERDOWN) /;

/** What a command answers: node-redis' own types, narrowed by its caller. */
export type Reply = unknown;

/** The connection ended before the reply, or the server is not the one that was to be asked. */
export class ConnectionLost extends StoreUnavailable {
  /** The command was sent, and nobody said that it was refused. */
  readonly mayBeDone: boolean;

  constructor(message: string, mayBeDone: boolean) {
    super(message);
    this.mayBeDone = mayBeDone;
  }
}

/** Sends commands to Redis. Every method rejects with a StoreUnavailable, a ConnectionLost among them. */
export type Caller = {
  /** The reply with strings decoded as UTF-8. */
  readonly call: (args: readonly RedisArgument[]) => Promise<Reply>;
  /** The reply with strings as Buffers. */
  readonly callBinary: (args: readonly RedisArgument[]) => Promise<Reply>;
};

/** One connection from its greeting to its end; it never reconnects. */
export type Session = Caller & {
  /** `listener` gets every message of the sharded channel; it must not throw. */
  readonly subscribe: (channel: string, listener: (message: string) => void) => Promise<void>;
  /** Why the connection ended, once it has. */
  readonly ended: Promise<string>;
  /** Ends it; calls that wait for a reply reject. */
  readonly end: (reason: string) => void;
};

type Client = ReturnType<typeof clientOf>;

const AS_BUFFERS = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };

// Never connected. node-redis makes a class for each new set of options, 25 ms of work; duplicates share theirs.
const TEMPLATE = createClient({
  RESP: 3,
  // A queue that outlives its connection would send a write whose caller gave up long ago.
  disableOfflineQueue: true,
  disableClientInfo: true,
  maintNotifications: 'disabled',
  // Only bounds what is not yet sent, and costs an AbortSignal per command; replies have their own deadline below.
  commandOptions: { timeout: 0 },
});

function clientOf(address: RedisAddress) {
  const { host, port, tls, username, password, database } = address;
  const limits = { connectTimeout: CONNECT_DEADLINE_MS, reconnectStrategy: false } as const;
  return TEMPLATE.duplicate({
    socket: tls ? { host, port, tls: true, ...limits } : { host, port, ...limits },
    database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}

/** Rejects after `deadlineMs` unless `work` settles before. */
async function within<T>(work: Promise<T>, deadlineMs: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let settled = false;
  const deadline = new Promise<never>((_, reject) => {
    const expire = () => {
      if (!settled) reject(late());
    };
    // After a blocked event loop the timer runs before the socket is read: let the replies that lie there come first.
    timer = setTimeout(() => setImmediate(expire), deadlineMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    settled = true;
    clearTimeout(timer);
  }
}

class OpenSession implements Session {
  readonly ended: Promise<string>;
  readonly #client: Client;
  readonly #where: string;
  #pending = 0;
  #endedBy: string | undefined;
  #resolveEnded: (reason: string) => void = () => {};

  constructor(client: Client, where: string) {
    this.#client = client;
    this.#where = where;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    // Any error, one of the decoder included, may have shifted replies to other callers: the connection is not used again.
    client.on('error', (error: unknown) => this.end(reasonOf(error)));
    client.on('terminated', (error: unknown) => this.end(reasonOf(error)));
    client.on('end', () => this.end('closed'));
    client.on('sharded-channel-moved', () => this.end('a shard has moved to another server'));
  }

  end(reason: string): void {
    if (this.#endedBy !== undefined) return;
    this.#endedBy = reason;
    this.#client.destroy();
    this.#resolveEnded(reason);
  }

  call(args: readonly RedisArgument[]): Promise<Reply> {
    return this.#send(String(args[0]), () => this.#client.sendCommand(args));
  }

  callBinary(args: readonly RedisArgument[]): Promise<Reply> {
    return this.#send(String(args[0]), () => this.#client.sendCommand(args, AS_BUFFERS));
  }

  async subscribe(channel: string, listener: (message: string) => void): Promise<void> {
    await this.#send('SSUBSCRIBE', () => this.#client.sSubscribe(channel, listener));
  }

  async #send(name: string, command: () => Promise<Reply>): Promise<Reply> {
    if (this.#endedBy !== undefined) throw this.#lost(this.#endedBy, false);
    if (this.#pending >= MAX_PENDING) throw this.#unavailable(`${MAX_PENDING} commands wait for a reply`);
    this.#pending += 1;
    try {
      return await within(command(), REPLY_DEADLINE_MS, () => {
        this.end(`no reply to ${name} within ${REPLY_DEADLINE_MS} ms`);
        return this.#unavailable(`no reply to ${name} within ${REPLY_DEADLINE_MS} ms`);
      });
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error;
      if (error instanceof ErrorReply) throw this.#refused(`${name} was refused: ${error.message}`, error);
      throw this.#lost(this.#endedBy ?? reasonOf(error), true);
    } finally {
      this.#pending -= 1;
    }
  }

  #refused(reason: string, { message }: ErrorReply): StoreUnavailable {
    if (!WRONG_SERVER.test(message)) return this.#unavailable(reason);
    this.end(reason);
    return this.#lost(reason, false);
  }

  #lost(reason: string, mayBeDone: boolean): ConnectionLost {
    return new ConnectionLost(`Redis at ${this.#where}: ${reason}`, mayBeDone);
  }

  #unavailable(reason: string): StoreUnavailable {
    return new StoreUnavailable(`Redis at ${this.#where}: ${reason}`);
  }
}

/** Connects once. Rejects with a StoreUnavailable that says where and why, without the password. */
export async function openSession(address: RedisAddress, deadlineMs = CONNECT_DEADLINE_MS): Promise<Session> {
  const client = clientOf(address);
  const where = addressText(address);
  const session = new OpenSession(client, where);
  const late = () => new Error(`no greeting within ${deadlineMs} ms`);
  try {
    await within(client.connect(), deadlineMs, late);
  } catch (error) {
    session.end(reasonOf(error));
    throw new StoreUnavailable(`Redis at ${where}: ${greetingError(reasonOf(error))}`);
  }
  return session;
}

function greetingError(reason: string): string {
  if (reason.startsWith('NOAUTH')) return 'a password is needed: put it into the URL';
  if (reason.startsWith('WRONGPASS')) return 'user or password is wrong';
  if (/unknown command.*HELLO/i.test(reason)) return 'the server is too old: Redis 7.0 or newer is needed';
  return reason;
}
