import { createClient, RESP_TYPES, type RedisArgument } from 'redis';

// Never connected: a duplicate costs a twentieth of a new client.
const TEMPLATE = createClient();

/** A command from outside, its strings as Buffers. */
export async function command(server: { readonly url: string }, ...args: readonly RedisArgument[]): Promise<unknown> {
  const client = TEMPLATE.duplicate({ url: server.url });
  await client.connect();
  try {
    return await client.sendCommand(args, { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } });
  } finally {
    client.destroy();
  }
}
