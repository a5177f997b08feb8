import { status } from '@grpc/grpc-js';
import { RpcError } from '@latchkey/rpc';
import type { LogPlace, Store } from '@latchkey/store';

/** Where a watcher begins: after a place in every log, from now on, or after a place in another store. */
export type From = readonly LogPlace[] | 'NOW' | 'ELSEWHERE';

/** A nonce or a store id. */
const WORD = '[A-Za-z0-9_-]*';
const CURSOR = new RegExp(`^(${WORD})((?:\\.[0-9]{1,16}:${WORD})+)$`);

/** `STORE.POSITION:NONCE`, with one place for each log; opaque to watchers. */
export function formatCursor({ storeId }: Store, places: readonly LogPlace[]): string {
  return [storeId, ...places.map(({ position, nonce }) => `${position}:${nonce}`)].join('.');
}

/** Reads a cursor; empty is from now on. Throws INVALID_ARGUMENT when it is none. */
export function parseCursor({ storeId, shards }: Store, cursor: string): From {
  if (cursor === '') return 'NOW';
  const match = CURSOR.exec(cursor);
  if (match === null) throw new RpcError(status.INVALID_ARGUMENT, 'cursor: not one of this service');
  const places = (match[2] ?? '').slice(1).split('.').map(placeOf);
  return match[1] === storeId && places.length === shards ? places : 'ELSEWHERE';
}

function placeOf(text: string): LogPlace {
  const colon = text.indexOf(':');
  return { position: Number(text.slice(0, colon)), nonce: text.slice(colon + 1) };
}
