import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceState, SecretCredentials } from '@latchkey/credential';
import {
  type DeviceId,
  NO_REVISION,
  parseDeviceId,
  type Revision,
  Secret,
  systemClock,
  systemRandom,
  toCredentialId,
} from '@latchkey/kernel';
import { type Change, generateKeyLine, type Keyring, parseKeyring, type Store, type Write } from '@latchkey/store';
import { createClient } from 'redis';
import { command } from './command.ts';
import { layoutOf, type ShardKeys } from './keys.ts';
import type { RedisServer } from './redis-server.ts';
import { openRedisStore } from './redis-store.ts';

export { command } from './command.ts';

/** A keyring of one new key. */
export function newKeyring(): Keyring {
  return parseKeyring(generateKeyLine('test', systemRandom));
}

/** Opens the store of a test server; `told` gets what it logs. */
export function openOn(server: { readonly url: string }, keyring: Keyring, told: string[] = []): Promise<Store> {
  const log = (message: string) => void told.push(message);
  return openRedisStore({ url: server.url, keyring, clock: systemClock, random: systemRandom, log });
}

/** The keys of the only shard of a single server. */
export function onlyShard(): ShardKeys {
  const [keys] = layoutOf(1);
  if (keys === undefined) throw new Error('a store has a shard');
  return keys;
}

/** The text as a device id; the test is wrong when it is none. */
export function device(text: string): DeviceId {
  const deviceId = parseDeviceId(text);
  if (deviceId === undefined) throw new Error(`no device id: ${text}`);
  return deviceId;
}

function slotOf(secret: string) {
  const credentialId = toCredentialId(systemRandom(12));
  return {
    state: 'SET',
    credentialId,
    setAtMs: 1_700_000_000_000,
    firstUsedAtMs: undefined,
    secret: new Secret(secret),
  } as const;
}

/** A device with two secrets of 32 characters. */
export function stateOf(deviceId: DeviceId, primary = 'p'.repeat(32), secondary = 's'.repeat(32)): DeviceState {
  const credentials: SecretCredentials = {
    kind: 'SECRET',
    format: 'TEXT',
    primary: slotOf(primary),
    secondary: slotOf(secondary),
  };
  const createdAtMs = 1_700_000_000_000;
  return {
    ...{ deviceId, credentials, frozen: false, createdAtMs },
    ...{ activatedAtMs: undefined, activationTimeoutS: 60, retirement: undefined },
  };
}

/** A write that creates the device, or changes it from `expectedRevision`. */
export function writeOf(
  deviceId: DeviceId,
  expectedRevision: Revision = NO_REVISION,
  more: Partial<Write> = {},
): Write {
  const state = stateOf(deviceId);
  const effect = { close: 'NONE' } as const;
  return { deviceId, expectedRevision, state, kind: 'UPDATED', effect, replay: undefined, ...more };
}

/** What a listener heard, `lost` as undefined. */
export function heardBy(store: Store): (Change | undefined)[] {
  const heard: (Change | undefined)[] = [];
  store.listen({ changed: (change) => heard.push(change), lost: () => heard.push(undefined) });
  return heard;
}

/** All that lies in Redis: its keys, its values, its append-only files and a snapshot. */
export async function laidDown(server: RedisServer): Promise<Buffer> {
  await command(server, 'SAVE');
  const keys = await command(server, 'KEYS', '*');
  const names = Array.isArray(keys) ? keys.filter((key): key is Buffer => key instanceof Buffer) : [];
  const values = await Promise.all(names.map((name) => command(server, 'DUMP', name)));
  const entries = await readdir(server.directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const contents = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name))));
  return Buffer.concat([...names, ...values.filter((value): value is Buffer => value instanceof Buffer), ...contents]);
}

/** A client of its own that looks at the server from outside; `use` gets it, then it is closed. */
export async function withClient<T>(
  server: RedisServer,
  use: (command: (...args: string[]) => Promise<unknown>) => Promise<T>,
): Promise<T> {
  const client = createClient({ url: server.url });
  await client.connect();
  try {
    return await use((...args) => client.sendCommand(args));
  } finally {
    client.destroy();
  }
}
