import { tryDecode } from './bytes.ts';
import { CONTENT, HANDSHAKE } from './codes.ts';
import { HANDSHAKE_HEADER_BYTES, type Message, readFragments } from './fragments.ts';
import { VERIFY_DATA_BYTES } from './key-schedule.ts';
import { type EpochKeys, sealedBytes } from './protection.ts';
import { Reassembly } from './reassembly.ts';
import type { RecordLayer } from './record-layer.ts';
import type { WireRecord } from './records.ts';
import type { Suite } from './suites.ts';

/** What records led to, the weightiest first. */
export type Heard =
  /** The client ended the handshake, and it was the client: the alert was sealed. */
  | 'ALERT'
  /** What looks like a Finished opens under none of the keys. */
  | 'UNOPENED_FINISHED'
  | 'NOTHING_ELSE';

/** What a client's side of a handshake is read by. */
export type IncomingOptions = {
  readonly records: RecordLayer;
  readonly suite: Suite;
  /** Number of the first message that is awaited. */
  readonly nextSequence: number;
  /** Of messages held at once. */
  readonly maxBytes: number;
};

/** Sealed records that wait for the keys: a Finished that came early, and what may come with it. */
const MAX_EARLY_RECORDS = 4;

const FINISHED_BYTES = HANDSHAKE_HEADER_BYTES + VERIFY_DATA_BYTES;

/** From a client's records to the messages of its handshake. */
export class Incoming {
  readonly #records: RecordLayer;
  readonly #suite: Suite;
  readonly #reassembly: Reassembly;
  #early: WireRecord[] = [];
  /** The keys that may be the client's; nothing that a server sends before its Finished depends on which it is. */
  #candidates: readonly EpochKeys[] = [];
  #candidate = 0;

  constructor({ records, suite, nextSequence, maxBytes }: IncomingOptions) {
    this.#records = records;
    this.#suite = suite;
    this.#reassembly = new Reassembly(nextSequence, maxBytes);
  }

  /** Which of the candidates is in use. */
  get candidate(): number {
    return this.#candidate;
  }

  /** Takes a record in. Throws a DecodeError on an authentic one without a content type. */
  receive(record: WireRecord): Heard {
    if (record.epoch === 0) return this.#receivePlain(record);
    if (this.#candidates.length > 0) return this.#receiveSealed([record]);
    if (record.epoch === 1 && this.#early.length < MAX_EARLY_RECORDS) this.#early.push(record);
    return 'NOTHING_ELSE';
  }

  /** Gives the keys, one pair or several to try; opens what came early. */
  useKeys(candidates: readonly EpochKeys[]): Heard {
    this.#candidates = candidates;
    this.#use(0);
    const early = this.#early;
    this.#early = [];
    return this.#receiveSealed(early);
  }

  /** The next message in order. */
  take(): Message | undefined {
    return this.#reassembly.take();
  }

  /** Of epoch 0 only messages count: its alerts could be anybody's, and ChangeCipherSpec says nothing new. */
  #receivePlain({ type, fragment }: WireRecord): Heard {
    if (type === CONTENT.HANDSHAKE) this.#addFragments(fragment, 0);
    return 'NOTHING_ELSE';
  }

  /** What opens under no key is dropped (RFC 6347 4.1.2.7), but when it is the Finished somebody must be told. */
  #receiveSealed(records: readonly WireRecord[]): Heard {
    const opened = records.map((record) => this.#records.open(record)).filter((content) => content !== undefined);
    if (opened.length === 0) {
      if (!records.some((record) => this.#looksLikeFinished(record))) return 'NOTHING_ELSE';
      return this.#use(this.#candidate + 1) ? this.#receiveSealed(records) : 'UNOPENED_FINISHED';
    }
    this.#candidates = this.#candidates.slice(0, this.#candidate + 1);
    if (opened.some(({ type }) => type === CONTENT.ALERT)) return 'ALERT';
    for (const { type, body } of opened) if (type === CONTENT.HANDSHAKE) this.#addFragments(body, 1);
    return 'NOTHING_ELSE';
  }

  #use(candidate: number): boolean {
    const keys = this.#candidates[candidate];
    if (keys === undefined) return false;
    this.#candidate = candidate;
    this.#records.useKeys(keys);
    return true;
  }

  #looksLikeFinished({ type, fragment }: WireRecord): boolean {
    if (type !== (this.#records.expectsConnectionId ? CONTENT.TLS12_CID : CONTENT.HANDSHAKE)) return false;
    // With a connection id the content type is inside, and padding may follow it.
    if (type === CONTENT.TLS12_CID) return fragment.length >= sealedBytes(this.#suite, FINISHED_BYTES + 1);
    return fragment.length === sealedBytes(this.#suite, FINISHED_BYTES);
  }

  /** Only the Finished is sealed, and it always is. */
  #addFragments(body: Buffer, epoch: 0 | 1): void {
    for (const fragment of tryDecode(() => readFragments(body)) ?? []) {
      if ((fragment.type === HANDSHAKE.FINISHED) === (epoch === 1)) this.#reassembly.add(fragment, epoch);
    }
  }
}
