import type { Random } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { SHARDS, STORE_KEY } from './keys.ts';
import type { Log } from './link.ts';
import type { Caller } from './session.ts';

const FORMAT = 1;
const STORE_ID_BYTES = 12;

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split('\r\n').filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

/** What forbids to use a server, from its reply to INFO; undefined: nothing. */
export function refusalOf(info: string): string | undefined {
  const fields = fieldsOf(info);
  const version = fields.get('redis_version') ?? 'unknown';
  if (!(Number.parseInt(version, 10) >= 7)) return `its version is ${version}: Redis 7.0 or newer is needed`;
  if (fields.get('role') === 'slave') return 'it is a replica: give the address of the primary';
  if (fields.get('cluster_enabled') === '1') return 'it is a node of a Redis Cluster, which is not supported';
  return undefined;
}

/** What makes a server forget writes that it acknowledged, from its reply to INFO. */
export function durabilityWarnings(info: string): readonly string[] {
  const fields = fieldsOf(info);
  const warnings: string[] = [];
  if (fields.get('aof_enabled') === '0') warnings.push('appendonly is off: a restart of Redis brings old secrets back');
  const policy = fields.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(`maxmemory-policy is ${policy}: Redis may drop devices, set noeviction`);
  }
  return warnings;
}

/** Looks at the server behind a new connection. Rejects with a StoreUnavailable when it cannot serve. */
export async function greet(caller: Caller, log: Log): Promise<void> {
  const info = String(await caller.call(['INFO']));
  const refusal = refusalOf(info);
  if (refusal !== undefined) throw new StoreUnavailable(`this Redis cannot be used: ${refusal}`);
  for (const warning of durabilityWarnings(info)) log('Redis is not durable', { warning });
}

/** The id of the store in this Redis; an empty Redis is given one. Safe with many replicas that start at once. */
export async function identify(caller: Caller, random: Random): Promise<string> {
  const id = Buffer.from(random(STORE_ID_BYTES)).toString('base64url');
  await caller.call(['SET', STORE_KEY, JSON.stringify({ id, format: FORMAT, shards: SHARDS }), 'NX']);
  return parseIdentity(await caller.call(['GET', STORE_KEY]));
}

/** Makes sure that a new connection leads to the same store. Rejects with a StoreUnavailable when it does not. */
export async function recognise(caller: Caller, storeId: string): Promise<void> {
  const text = await caller.call(['GET', STORE_KEY]);
  if (text === null) throw new StoreUnavailable('this Redis has lost the store: restore it, then restart the service');
  if (parseIdentity(text) !== storeId) throw new StoreUnavailable('this Redis holds another store than before');
}

function parseIdentity(text: unknown): string {
  const identity: unknown = JSON.parse(String(text));
  if (typeof identity !== 'object' || identity === null) throw new StoreUnavailable(`${STORE_KEY} in Redis is damaged`);
  const { id, format, shards } = identity as { readonly id?: unknown; readonly format?: unknown; shards?: unknown };
  if (format !== FORMAT || shards !== SHARDS) {
    throw new StoreUnavailable(
      `this Redis holds a store of format ${format} with ${shards} shards, not ${FORMAT}/${SHARDS}`,
    );
  }
  if (typeof id !== 'string') throw new StoreUnavailable(`${STORE_KEY} in Redis is damaged`);
  return id;
}
