import type { X509Certificate } from 'node:crypto';
import {
  activate,
  bindFingerprint,
  type Decision,
  type DeviceRecord,
  denied,
  isRefusal,
  type Proof,
  type Protocol,
  type Verdict,
  type VerifySettings,
  verify,
} from '@latchkey/credential';
import { type Clock, CREDENTIAL_ID_BYTES, type DeviceId, type Random, toCredentialId } from '@latchkey/kernel';
import type { Store, Write } from '@latchkey/store';
import { type RecordStats, Records } from './records.ts';

/** One device's attempt. */
export type Question = {
  readonly deviceId: DeviceId;
  readonly protocol: Protocol;
  readonly proof: Proof;
};

/** A decision, and how old the record was that it was made on. */
export type Answer = {
  readonly decision: Decision;
  /** Milliseconds since the record's read was sent; 0: read for this question. */
  readonly cacheAgeMs: number;
};

/** What Authenticate would decide, and what it would write. */
export type Trial = {
  readonly decision: Decision;
  readonly wouldActivate: boolean;
  readonly wouldBind: boolean;
};

/** No decision can be made; it says nothing about the device. */
export class NoDecision extends Error {
  override readonly name = 'NoDecision';
}

/** What a verifier works on. */
export type VerifierOptions = {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: VerifySettings;
  /** The CAs that are trusted at this moment. */
  readonly trustedCas: () => readonly X509Certificate[];
  /** Devices to keep in memory. */
  readonly maxRecords: number;
};

/** How often a decision is begun anew when the record changed under it; a device that is reset so fast is under test. */
const MAX_ATTEMPTS = 8;

/** How long a question waits in all for a lost lease to come back: under every gateway's own deadline. */
const LEASE_WAIT_MS = 700;

/** Questions that wait for the store or the lease: beyond this, a store that has stopped answering would only pile up memory. */
const MAX_WAITING = 50_000;

/** Decides on proofs. One per process; it hears every change of its store. */
export class Verifier {
  readonly #store: Store;
  readonly #options: VerifierOptions;
  readonly #records: Records;
  readonly #stopListening: () => void;
  #waiting = 0;

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#store = options.store;
    const records = new Records({
      read: options.store.read,
      monotonic: options.clock.monotonic,
      maxRecords: options.maxRecords,
    });
    this.#records = records;
    this.#stopListening = options.store.listen({
      changed: ({ deviceId }) => records.invalidate(deviceId),
      lost: () => records.invalidateAll(),
    });
  }

  /** How the cache has done. */
  get stats(): Readonly<RecordStats> {
    return this.#records.stats;
  }

  /** Devices in memory. */
  get size(): number {
    return this.#records.size;
  }

  /**
   * Decides on a proof; the first success activates the device, durably, before it is granted. Answers at once when
   * the record is in memory. Throws or rejects with NoDecision, or as the store does.
   */
  authenticate(question: Question): Answer | Promise<Answer> {
    return this.#fromMemory(question) ?? this.#waitFor(question);
  }

  /** Decides on a fresh record as `authenticate` would, and changes nothing. */
  async tryProof(question: Question): Promise<Trial> {
    const record = await this.#store.read(question.deviceId);
    const verdict = this.#verify(record, question);
    const wouldBind = verdict.kind === 'BIND';
    const bound = wouldBind && record !== undefined ? this.#bound(record, verdict.fingerprint) : record;
    const final = wouldBind ? this.#verify(bound, question) : verdict;
    return {
      decision: decisionOf(final, bound, false),
      wouldActivate: final.kind === 'GRANT' && final.activate,
      wouldBind,
    };
  }

  /** Hears no more changes. */
  close(): void {
    this.#stopListening();
  }

  #fromMemory(question: Question): Answer | undefined {
    if (!this.#store.lease.holds(question.deviceId)) return undefined;
    const sighting = this.#records.cached(question.deviceId);
    if (sighting === undefined) return undefined;
    const verdict = this.#verify(sighting.record, question);
    if (this.#needsWrite(verdict)) return undefined;
    // The clock is read again: a process that was stopped while it verified has lost its lease without knowing.
    if (!this.#store.lease.holds(question.deviceId) || !this.#records.isCurrent(sighting)) return undefined;
    return {
      decision: decisionOf(verdict, sighting.record, false),
      cacheAgeMs: this.#options.clock.monotonic() - sighting.readAtMs,
    };
  }

  async #waitFor(question: Question): Promise<Answer> {
    if (this.#waiting >= MAX_WAITING) throw new NoDecision('too many questions wait for the store');
    this.#waiting += 1;
    try {
      return await this.#fromStore(question);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #fromStore(question: Question): Promise<Answer> {
    const { lease } = this.#store;
    const leaseDeadlineMs = this.#options.clock.monotonic() + LEASE_WAIT_MS;
    let activatedNow = false;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      if (!lease.holds(question.deviceId)) await this.#leaseBy(leaseDeadlineMs, question.deviceId);
      const cached = this.#records.cached(question.deviceId);
      const sighting = cached ?? (await this.#records.read(question.deviceId));
      const verdict = this.#verify(sighting.record, question);
      if (sighting.record !== undefined && this.#needsWrite(verdict)) {
        const written = await this.#effect(sighting.record, verdict);
        activatedNow ||= written && verdict.kind === 'GRANT';
        continue; // decided on what is written now
      }
      if (!lease.holds(question.deviceId) || !this.#records.isCurrent(sighting)) continue;
      const cacheAgeMs = cached === undefined ? 0 : this.#options.clock.monotonic() - sighting.readAtMs;
      return { decision: decisionOf(verdict, sighting.record, activatedNow), cacheAgeMs };
    }
    throw new NoDecision('the device changes faster than it can be decided on');
  }

  async #leaseBy(deadlineMs: number, deviceId: DeviceId): Promise<void> {
    const waitMs = deadlineMs - this.#options.clock.monotonic();
    if (waitMs <= 0 || !(await this.#store.lease.waitFor(waitMs, deviceId)))
      throw new NoDecision('this replica has no lease');
  }

  #verify(record: DeviceRecord | undefined, { proof, protocol }: Question): Verdict {
    const { clock, settings, trustedCas } = this.#options;
    return verify(record, proof, { nowMs: clock.now(), protocol, settings, trustedCas: trustedCas() });
  }

  #needsWrite(verdict: Verdict): boolean {
    return verdict.kind === 'BIND' || (verdict.kind === 'GRANT' && verdict.activate);
  }

  #bound(record: DeviceRecord, fingerprint: string): DeviceRecord {
    const { clock, random } = this.#options;
    const credentialId = toCredentialId(random(CREDENTIAL_ID_BYTES));
    const bound = bindFingerprint(record, { credentialId, fingerprint, nowMs: clock.now() });
    if (isRefusal(bound)) throw new Error(`a verdict to bind that cannot be bound: ${bound.refused}`);
    return { ...record, ...bound };
  }

  /** Writes what the verdict asks for, if the record is still the one it was made on. */
  async #effect(record: DeviceRecord, verdict: Verdict): Promise<boolean> {
    const binds = verdict.kind === 'BIND';
    const write: Write = {
      deviceId: record.deviceId,
      expectedRevision: record.revision,
      state: binds ? this.#bound(record, verdict.fingerprint) : activate(record, this.#options.clock.now()),
      kind: binds ? 'BOUND' : 'ACTIVATED',
      effect: { close: 'NONE' },
      replay: undefined,
    };
    const { outcome } = await this.#store.write(write);
    // Another replica wrote it, and its change is still on the way: what is in memory would only conflict again.
    if (outcome !== 'WRITTEN') this.#records.invalidate(record.deviceId);
    return outcome === 'WRITTEN';
  }
}

function decisionOf(verdict: Verdict, record: DeviceRecord | undefined, activatedNow: boolean): Decision {
  if (verdict.kind === 'DENY') return denied(verdict.reason);
  if (verdict.kind === 'BIND' || record === undefined) throw new Error('a binding is written before it is decided on');
  const { slot, credentialId } = verdict;
  return { granted: true, slot, credentialId, revision: record.revision, activatedNow, expiresAtMs: undefined };
}
