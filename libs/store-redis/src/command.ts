import { createClient, RESP_TYPES, type RedisArgument } from 'redis';

// Never connected: a duplicate costs a twentieth of a new client.
const TEMPLATE = createClient({ socket: { reconnectStrategy: false } });

/** A command from outside, its strings as Buffers. */
export async function command(server: { readonly url: string }, ...args: readonly RedisArgument[]): Promise<unknown> {
  const client = TEMPLATE.duplicate({ url: server.url });
  client.on('error', () => undefined); // a server that goes away meanwhile: the command rejects
  await client.connect();
  try {
    return await client.sendCommand(args, { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } });
  } finally {
    client.destroy();
  }
}
