import { createClient, RESP_TYPES, type RedisArgument } from 'redis';

export type { RedisArgument };

/** A plain client of the bench's own, beside the store. */
export type RedisClient = {
  /** Any command. Rejects as node-redis does. */
  readonly call: (args: readonly RedisArgument[]) => Promise<unknown>;
  /** The value of a key, as bytes. */
  readonly get: (key: string) => Promise<Buffer | null>;
  /** The values of keys, as bytes, in their order. */
  readonly getMany: (keys: readonly string[]) => Promise<readonly (Buffer | null)[]>;
  /** A number that INFO tells. Rejects when it does not. */
  readonly info: (name: string) => Promise<number>;
  /** CPU time of the server so far, microseconds. */
  readonly cpuUs: () => Promise<number>;
  readonly close: () => void;
};

/** How a client is set. */
export type ClientOptions = {
  /**
   * Without node-redis' deadline for commands that are not sent yet, which is on by default and costs an AbortSignal for
   * each command. The store's own connections are set so.
   */
  readonly lean?: boolean;
};

/** Connects once. Rejects when that fails. */
export async function connectRedis(url: string, { lean = true }: ClientOptions = {}): Promise<RedisClient> {
  const client = createClient({ url, ...(lean ? { commandOptions: { timeout: 0 } } : {}) });
  client.on('error', () => undefined); // the call that it belongs to rejects
  await client.connect();
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  const info = async (name: string) => {
    const text = String(await client.sendCommand(['INFO', 'everything']));
    const value = new RegExp(`^${name}:([0-9.]+)\\r?$`, 'm').exec(text)?.[1];
    if (value === undefined) throw new Error(`Redis does not tell its ${name}`);
    return Number(value);
  };
  return {
    call: (args) => client.sendCommand(args),
    get: (key) => binary.get(key),
    getMany: (keys) => binary.mGet([...keys]),
    info,
    cpuUs: async () => ((await info('used_cpu_user')) + (await info('used_cpu_sys'))) * 1e6,
    close: () => {
      if (client.isOpen) client.destroy();
    },
  };
}
