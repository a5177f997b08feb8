import { type Slot, USE_PRECISION_MS } from '@latchkey/credential';
import type { Clock, CredentialId, DeviceId, Random } from '@latchkey/kernel';
import { type Store, USE_REPORT_EVERY_MS, type Use } from '@latchkey/store';

/** Uses that are not told yet: a few MB beside the records, and some reports of a large fleet; more are said to be lost. */
export const MAX_NOTED = 200_000;

/** So many are told at once, without waiting for the time: half a second of work for Redis. */
const TELL_AT = 50_000;

/** 72 bits: no two replicas share a name. */
const NAME_BYTES = 9;

/** A grant, and the mark of the last note on this record in memory; 0: none was made. */
export type Grant = {
  readonly noted: number;
  readonly deviceId: DeviceId;
  readonly slot: Slot;
  readonly credentialId: CredentialId;
};

/** What the notes need. */
export type UsesOptions = {
  readonly store: Pick<Store, 'reportUses' | 'endUses'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Hears why a report has to wait; what it told stays noted. */
  readonly reportFailed: (error: unknown) => void;
};

/**
 * When credentials were last used here, to a minute, told to the store behind the decisions. What the store was not told
 * when the process dies counts as use: the store knows how far the reports went.
 */
export class Uses {
  readonly #options: UsesOptions;
  readonly #replica: string;
  #noted: Use[] = [];
  #lostUntilMs = 0;
  #queued: Promise<void> | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UsesOptions) {
    this.#options = options;
    this.#replica = Buffer.from(options.random(NAME_BYTES)).toString('base64url');
  }

  /** Uses that are not told yet. */
  get size(): number {
    return this.#noted.length;
  }

  /** Says that this replica is there, before its first decision, and then how its credentials are used. */
  async start(): Promise<void> {
    await this.tell();
    this.#timer = setInterval(() => this.#tellSoon(), USE_REPORT_EVERY_MS);
    this.#timer.unref();
  }

  /** Notes a grant, at most once a minute as long as the slot is the same. The record's new mark, or the same. */
  note({ noted, deviceId, slot, credentialId }: Grant, nowMs: number): number {
    const minute = Math.floor(nowMs / USE_PRECISION_MS);
    const mark = 2 * minute + (slot === 'PRIMARY' ? 0 : 1);
    if (noted === mark) return mark;
    this.#add({ deviceId, credentialId, atMs: minute * USE_PRECISION_MS });
    if (this.#noted.length >= TELL_AT && this.#timer !== undefined) this.#tellSoon();
    return mark;
  }

  /** Tells the store all that was noted until now; reports go one after another. Rejects as the store does. */
  tell(): Promise<void> {
    this.#queued ??= this.#tail.then(() => {
      this.#queued = undefined;
      return this.#report();
    });
    this.#tail = this.#queued.catch(() => undefined);
    return this.#queued;
  }

  /** Tells the rest, and that nothing more will come. */
  async close(): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    try {
      await this.tell();
      await this.#options.store.endUses(this.#replica);
    } catch (error) {
      this.#options.reportFailed(error); // as if it had crashed: the others will find it silent
    }
  }

  #tellSoon(): void {
    if (this.#queued === undefined) this.tell().catch(this.#options.reportFailed);
  }

  async #report(): Promise<void> {
    const { store, clock } = this.#options;
    const noted = this.#noted;
    const lostUntilMs = this.#lostUntilMs;
    this.#noted = [];
    this.#lostUntilMs = 0;
    try {
      await store.reportUses({ replica: this.#replica, uses: noted, completeToMs: clock.now(), lostUntilMs });
    } catch (error) {
      this.#lostUntilMs = Math.max(this.#lostUntilMs, lostUntilMs);
      for (const use of noted) this.#add(use);
      throw error;
    }
  }

  #add(use: Use): void {
    if (this.#noted.length < MAX_NOTED) this.#noted.push(use);
    else this.#lostUntilMs = Math.max(this.#lostUntilMs, use.atMs + USE_PRECISION_MS);
  }
}
