import type { ByteBudget } from './byte-budget.ts';
import { OPTION, RESPONSE } from './codes.ts';
import type { Option } from './message.ts';
import { type Block, blockBytes, blockOption, MAX_EXPONENT, type RequestOptions, uintOption } from './options.ts';

/** Bytes of a body that comes in blocks: 64 of the largest. The vendor takes 1 KB (IoTDA devg iot_02_0213). */
export const MAX_BODY_BYTES = 65_536;

/** Bodies that a client sends in blocks at a time: a device has one, and may give one up and begin another. */
const MAX_BODIES = 2;

/** A body whose next block does not come is forgotten: EXCHANGE_LIFETIME (RFC 7252 4.8.2). */
const BODY_LIFETIME_MS = 247_000;

/** What becomes of a block: the body is whole, or the client is to be told this. */
export type BlockResult =
  | { readonly outcome: 'BODY'; readonly payload: Buffer; readonly options: readonly Option[] }
  | { readonly outcome: 'ANSWER'; readonly code: number; readonly options: readonly Option[] };

/** A block of a request. */
export type BlockInput = {
  readonly method: number;
  readonly options: RequestOptions;
  readonly payload: Buffer;
};

type Body = { readonly parts: Buffer[]; bytes: number; atMs: number };

/**
 * Puts the bodies of one client's requests together (Block1, RFC 7959 2.5). They are told apart by method, path, query and
 * Request-Tag, not by token: a client may take a new one for each block.
 */
export class BlockStore {
  readonly #memory: ByteBudget;
  readonly #monotonic: () => number;
  readonly #bodies = new Map<string, Body>();

  constructor(memory: ByteBudget, monotonic: () => number) {
    this.#memory = memory;
    this.#monotonic = monotonic;
  }

  /** Takes a request in; one that is not in blocks is whole already. */
  take({ method, options, payload }: BlockInput): BlockResult {
    const { block1, size1 } = options;
    if ((size1 ?? 0) > MAX_BODY_BYTES) return answer(RESPONSE.TOO_LARGE, [uintOption(OPTION.SIZE1, MAX_BODY_BYTES)]);
    if (block1 === undefined) return { outcome: 'BODY', payload, options: [] };
    if (!isWellFormed(block1, payload)) return answer(RESPONSE.BAD_REQUEST, []);
    const key = JSON.stringify([method, options.path, options.query, options.requestTag]);
    this.#forgetOld();
    if (block1.number === 0) this.#forget(key);
    const body = this.#bodies.get(key) ?? { parts: [], bytes: 0, atMs: 0 };
    if (block1.number * blockBytes(block1.exponent) !== body.bytes) return answer(RESPONSE.INCOMPLETE, []);
    return this.#add(key, body, { block: block1, payload });
  }

  /** Forgets all. */
  close(): void {
    for (const key of [...this.#bodies.keys()]) this.#forget(key);
  }

  #add(key: string, body: Body, { block, payload }: { block: Block; payload: Buffer }): BlockResult {
    const echo = [blockOption(OPTION.BLOCK1, block)];
    if (body.bytes + payload.length > MAX_BODY_BYTES) {
      this.#forget(key);
      return answer(RESPONSE.TOO_LARGE, [...echo, uintOption(OPTION.SIZE1, MAX_BODY_BYTES)]);
    }
    if (!block.hasMore) {
      const whole = Buffer.concat([...body.parts, payload]);
      this.#forget(key);
      return { outcome: 'BODY', payload: whole, options: echo };
    }
    if (!this.#memory.take(payload.length)) {
      this.#forget(key);
      return answer(RESPONSE.UNAVAILABLE, []);
    }
    body.parts.push(Buffer.from(payload)); // a copy: what was read is a view of the whole datagram
    body.bytes += payload.length;
    body.atMs = this.#monotonic();
    this.#bodies.delete(key); // so that the map stays in the order of time
    this.#bodies.set(key, body);
    this.#forgetOld();
    return answer(RESPONSE.CONTINUE, echo);
  }

  #forgetOld(): void {
    const oldestMs = this.#monotonic() - BODY_LIFETIME_MS;
    for (const [key, { atMs }] of this.#bodies) {
      if (atMs > oldestMs && this.#bodies.size <= MAX_BODIES) return;
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    this.#memory.give(this.#bodies.get(key)?.bytes ?? 0);
    this.#bodies.delete(key);
  }
}

/** All blocks but the last are full, and none is larger than it says (RFC 7959 2.3). */
function isWellFormed({ hasMore, exponent }: Block, payload: Buffer): boolean {
  if (exponent > MAX_EXPONENT) return false;
  return hasMore ? payload.length === blockBytes(exponent) : payload.length <= blockBytes(exponent);
}

function answer(code: number, options: readonly Option[]): BlockResult {
  return { outcome: 'ANSWER', code, options };
}

/** What a response carries of its body; `undefined`: there is no such block. */
export type Slice = { readonly payload: Buffer; readonly options: readonly Option[] };

/** The block of a body that was asked for; of a body longer than a block the first, where none was (RFC 7959 2.4). */
export function sliceOf(body: Buffer, asked: Block | undefined): Slice | undefined {
  if (asked === undefined && body.length <= blockBytes(MAX_EXPONENT)) return { payload: body, options: [] };
  const { number, exponent } = asked ?? { number: 0, exponent: MAX_EXPONENT };
  const start = number * blockBytes(Math.min(exponent, MAX_EXPONENT));
  if (exponent > MAX_EXPONENT || (start >= body.length && number > 0)) return undefined;
  const end = start + blockBytes(exponent);
  const option = blockOption(OPTION.BLOCK2, { number, hasMore: end < body.length, exponent });
  return { payload: body.subarray(start, end), options: [option, uintOption(OPTION.SIZE2, body.length)] };
}
