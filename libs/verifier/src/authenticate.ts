import {
  type BindVerdict,
  bindFingerprint,
  CAS_KEY,
  type Decision,
  type DeviceRecord,
  denied,
  type GrantVerdict,
  isRefusal,
  isTrustKey,
  noteSuccess,
  type Proof,
  type Protocol,
  type TokenKeys,
  type Verdict,
  type VerifyContext,
  type VerifySettings,
  verify,
} from '@latchkey/credential';
import {
  type Allowance,
  type Clock,
  CREDENTIAL_ID_BYTES,
  type DeviceId,
  NO_REVISION,
  type Random,
  toCredentialId,
} from '@latchkey/kernel';
import type { RecordKey, Store, Write } from '@latchkey/store';
import { type Attempt, FailedAttempts } from './attempts.ts';
import { compact, expand, notedIn, readAtMsIn, withNoted } from './compact.ts';
import { type Derived, derive, type Handshake } from './derive.ts';
import { basisFor, decisionOf, dueWrite } from './outcome.ts';
import { type RecordStats, Records } from './records.ts';
import { checkSessions, type Session } from './sessions.ts';
import { hasCertificate, Trust, type TrustSighting } from './trust.ts';
import { Uses } from './uses.ts';
import { NoDecision, Waiting } from './waiting.ts';

/** One device's attempt. */
export type Question = {
  readonly deviceId: DeviceId;
  readonly protocol: Protocol;
  readonly proof: Proof;
  /** The device's network address, for the budget of failed attempts; absent or empty: it has none. */
  readonly source?: string;
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

/** What a verifier works on. */
export type VerifierOptions = {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: VerifySettings;
  /** The keys of access tokens at this moment; absent: no token is accepted. */
  readonly tokenKeys?: () => TokenKeys;
  /** Devices to keep in memory. */
  readonly maxRecords: number;
  /** How often a device may fail from one source before its proofs are not looked at; absent: as often as it likes. */
  readonly failures?: Allowance | undefined;
  /** Hears why the store could not be told of last uses; they are told later. */
  readonly reportFailed?: (error: unknown) => void;
};

/** What a verdict was reached on. */
type Ground = {
  readonly form: string;
  readonly record: DeviceRecord | undefined;
  readonly trust: TrustSighting;
  readonly nowMs: number;
  readonly activatedNow: boolean;
};

/** How often a decision is begun anew when the record changed under it; a device that is reset so fast is under test. */
const MAX_ATTEMPTS = 8;

/** How long a question waits in all for a lost lease to come back: under every gateway's own deadline. */
const LEASE_WAIT_MS = 700;

const THROTTLED: Answer = { decision: denied('THROTTLED'), cacheAgeMs: 0 };

/** Decides on proofs. One per process; it hears every change of its store. */
export class Verifier {
  readonly #store: Store;
  readonly #options: VerifierOptions;
  readonly #records: Records;
  readonly #trust: Trust;
  readonly #uses: Uses;
  readonly #failed: FailedAttempts | undefined;
  readonly #stopListening: () => void;
  // Retirements that this process has begun, and that others may not have heard of.
  readonly #settling = new Map<DeviceId, Promise<unknown>>();
  readonly #waiting = new Waiting();

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#store = options.store;
    const records = new Records({
      read: options.store.read,
      monotonic: options.clock.monotonic,
      maxRecords: options.maxRecords,
      form: { pack: compact, unpack: expand },
    });
    this.#records = records;
    const trust = new Trust(options.store, options.clock.monotonic);
    this.#trust = trust;
    this.#failed = options.failures && new FailedAttempts(options.failures, options.clock.monotonic);
    this.#uses = new Uses({ ...options, reportFailed: options.reportFailed ?? (() => undefined) });
    this.#stopListening = options.store.listen({
      changed: ({ key, position }) => (isTrustKey(key) ? trust.changed(key, position) : records.invalidate(key)),
      lost: () => {
        records.invalidateAll();
        trust.invalidateAll();
      },
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

  /** Uses of credentials that the store is not told yet. */
  get untold(): number {
    return this.#uses.size;
  }

  /** Devices that have failed of late, counted by source. */
  get failing(): number {
    return this.#failed?.size ?? 0;
  }

  /** Before the first question: from now on the store is told of last uses. Rejects as the store does. */
  start(): Promise<void> {
    return this.#uses.start();
  }

  /** Tells the store of all last uses until now. Rejects as the store does. */
  tellUses(): Promise<void> {
    return this.#uses.tell();
  }

  /**
   * Decides on a proof; activation, first use and a retirement that waited for it are durable before it is granted. Answers at once when
   * the record is in memory. Throws or rejects with NoDecision, or as the store does. A proof of a device that has failed
   * too often from this source is not looked at, be it right.
   */
  authenticate(question: Question): Answer | Promise<Answer> {
    // A DTLS handshake has had its try already.
    if (question.proof.kind !== 'PSK' && this.#failed?.areSpent(question)) return THROTTLED;
    const form = this.#records.kept(question.deviceId);
    const answer = form === undefined ? undefined : this.#fromMemory(question, form);
    if (answer === undefined) return this.#fromStore(question, form !== undefined);
    this.#noteAttempt(question, answer.decision);
    return answer;
  }

  /** Decides on a fresh record as `authenticate` would, and changes nothing. */
  async tryProof(question: Question): Promise<Trial> {
    const { deviceId, proof } = question;
    const [record, trust] = await Promise.all([this.#store.read(deviceId), this.#trust.look(proof)]);
    const nowMs = this.#options.clock.now();
    const verdict = this.#verify(record, question, nowMs, trust);
    const wouldBind = verdict.kind === 'BIND';
    const bound = wouldBind && record !== undefined ? this.#bound(record, verdict) : record;
    const final = wouldBind ? this.#verify(bound, question, nowMs, trust) : verdict;
    return {
      decision: decisionOf(final, bound, { activatedNow: false, basis: undefined }),
      wouldActivate: final.kind === 'GRANT' && final.activate,
      wouldBind,
    };
  }

  /** The master secrets of a DTLS handshake. Rejects with NoDecision, or as the store does. */
  derivePsk(handshake: Handshake): Promise<Derived> {
    const { clock, random, settings } = this.#options;
    const leaseDeadlineMs = clock.monotonic() + LEASE_WAIT_MS;
    return this.#waiting.during(1, async () => {
      const derived = await derive(handshake, {
        ...{ records: this.#records, lease: this.#store.lease, clock, random, settings, maxAttempts: MAX_ATTEMPTS },
        spend: (deviceId) => this.#spendTry({ deviceId, source: handshake.source ?? '' }),
        waitForLease: (deviceId) => this.#leaseBy(leaseDeadlineMs, deviceId),
      });
      if (derived === undefined) throw new NoDecision('the device changes faster than it can be looked at');
      return derived;
    });
  }

  /**
   * Which of a gateway's sessions may stay open, in their order; what is trusted is judged no older than the change at
   * `trustRevision`, which the gateway may have heard of from another replica. Rejects with NoDecision, or as the store does.
   */
  checkSessions(sessions: readonly Session[], trustRevision = NO_REVISION): Promise<readonly boolean[]> {
    const { clock } = this.#options;
    this.#trust.noOlderThan(trustRevision);
    const leaseDeadlineMs = clock.monotonic() + LEASE_WAIT_MS;
    return this.#waiting.during(sessions.length, async () => {
      const standings = await checkSessions(sessions, {
        ...{ records: this.#records, trust: this.#trust, lease: this.#store.lease, clock, maxAttempts: MAX_ATTEMPTS },
        requireTrustedCa: this.#options.settings.requireTrustedCa,
        waitForLease: (key) => this.#leaseBy(leaseDeadlineMs, key),
      });
      if (standings === undefined) throw new NoDecision('the devices change faster than they can be looked at');
      return standings;
    });
  }

  /** Hears no more changes, and tells the store what is left to tell. */
  async close(): Promise<void> {
    this.#stopListening();
    await this.#uses.close();
  }

  /** Nothing awaits between the look into memory and the answer, so what was current then is current now. */
  #fromMemory(question: Question, form: string): Answer | undefined {
    const { deviceId, proof } = question;
    const trust = this.#trust.cached(proof);
    if (trust === undefined) return undefined;
    const record = this.#records.recordIn(deviceId, form);
    const nowMs = this.#options.clock.now();
    const verdict = this.#verify(record, question, nowMs, trust);
    if (dueWrite(verdict) !== undefined || !this.#stands(deviceId, trust, verdict)) return undefined;
    const decision = this.#decided(verdict, { form, record, trust, nowMs, activatedNow: false });
    return { decision, cacheAgeMs: this.#options.clock.monotonic() - readAtMsIn(form) };
  }

  /** The finish of a DTLS handshake has spent its try when the handshake's secret was derived. */
  #noteAttempt(question: Question, decision: Decision): void {
    if (question.proof.kind === 'PSK') this.#failed?.giveBack(question, decision);
    else this.#failed?.note(question, decision);
  }

  #spendTry(attempt: Attempt): boolean {
    if (this.#failed?.areSpent(attempt)) return false;
    this.#failed?.spend(attempt);
    return true;
  }

  /** May the verdict on a record that is current be answered at this moment? The clocks are read after it was reached: a process may be stopped while it verifies. */
  #stands(deviceId: DeviceId, trust: TrustSighting, verdict: Verdict): boolean {
    if (!this.#store.lease.holds(deviceId)) return false;
    if (!this.#trust.stands(trust)) return false;
    if (this.#settling.size > 0 && this.#settling.has(deviceId)) return false;
    if (verdict.kind !== 'GRANT' || verdict.expiresAtMs === undefined) return true;
    return this.#options.clock.now() < verdict.expiresAtMs;
  }

  /** `isKept`: the record lay in memory when this was asked; if not, the first look there is saved. */
  async #fromStore(question: Question, isKept: boolean): Promise<Answer> {
    const { lease } = this.#store;
    const { deviceId, proof } = question;
    const keys: readonly RecordKey[] = hasCertificate(proof) ? [deviceId, CAS_KEY] : [deviceId];
    const leaseDeadlineMs = this.#options.clock.monotonic() + LEASE_WAIT_MS;
    let activatedNow = false;
    this.#waiting.enter(1);
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        if (this.#settling.size > 0) await this.#settling.get(deviceId);
        for (const key of keys) if (!lease.holds(key)) await this.#leaseBy(leaseDeadlineMs, key);
        const cached = isKept || attempt > 0 ? this.#records.cached(deviceId) : undefined;
        const trusted = this.#trust.read(proof);
        const reading = cached ?? this.#records.read(deviceId);
        // A promise less where nothing but the record is read.
        const [sighting, trust] =
          trusted instanceof Promise ? await Promise.all([reading, trusted]) : [await reading, trusted];
        const nowMs = this.#options.clock.now();
        const verdict = this.#verify(sighting.record, question, nowMs, trust);
        const due = dueWrite(verdict);
        if (sighting.record !== undefined && due !== undefined) {
          const written = await this.#effect(sighting.record, due);
          activatedNow ||= written && due.kind === 'GRANT' && due.activate;
          continue; // decided on what is written now
        }
        if (!this.#records.isCurrent(sighting) || !this.#stands(deviceId, trust, verdict)) continue;
        const { record, form } = sighting;
        const cacheAgeMs = cached === undefined ? 0 : this.#options.clock.monotonic() - readAtMsIn(form);
        const decision = this.#decided(verdict, { form, record, trust, nowMs, activatedNow });
        this.#noteAttempt(question, decision);
        return { decision, cacheAgeMs };
      }
    } finally {
      this.#waiting.leave(1);
    }
    throw new NoDecision('the device changes faster than it can be decided on');
  }

  #decided(verdict: Verdict, { form, record, trust, nowMs, activatedNow }: Ground): Decision {
    if (verdict.kind === 'DENY') return denied(verdict.reason);
    if (verdict.kind === 'GRANT' && record !== undefined) {
      const { slot, credentialId } = verdict;
      const noted = notedIn(form);
      const mark = this.#uses.note({ noted, deviceId: record.deviceId, slot, credentialId }, nowMs);
      if (mark !== noted) this.#records.replace(record.deviceId, form, withNoted(form, mark));
    }
    return decisionOf(verdict, record, { activatedNow, basis: basisFor(verdict, trust) });
  }

  async #leaseBy(deadlineMs: number, key: RecordKey): Promise<void> {
    const waitMs = deadlineMs - this.#options.clock.monotonic();
    if (waitMs <= 0 || !(await this.#store.lease.waitFor(waitMs, key)))
      throw new NoDecision('this replica has no lease');
  }

  #verify(
    record: DeviceRecord | undefined,
    { proof, protocol }: Question,
    nowMs: number,
    { trustedCas, disabled }: Pick<VerifyContext, 'trustedCas' | 'disabled'>,
  ): Verdict {
    const { settings, tokenKeys } = this.#options;
    return verify(record, proof, { nowMs, protocol, settings, trustedCas, disabled, tokenKeys: tokenKeys?.() });
  }

  #bound(record: DeviceRecord, { fingerprint, caId: boundBy }: BindVerdict): DeviceRecord {
    const { clock, random } = this.#options;
    const credentialId = toCredentialId(random(CREDENTIAL_ID_BYTES));
    const bound = bindFingerprint(record, { credentialId, fingerprint, boundBy, nowMs: clock.now() });
    if (isRefusal(bound)) throw new Error(`a verdict to bind that cannot be bound: ${bound.refused}`);
    return { ...record, ...bound };
  }

  /** Writes what the verdict asks for, if the record is still the one it was made on. */
  async #effect(record: DeviceRecord, verdict: BindVerdict | GrantVerdict): Promise<boolean> {
    const { deviceId, revision: expectedRevision } = record;
    const write = { deviceId, expectedRevision, ...this.#effectOf(record, verdict), replay: undefined };
    if (write.kind === 'RETIRED') return this.#retire(write);
    const { outcome } = await this.#store.write(write);
    // Another replica wrote it, and its change is still on the way: what is in memory would only conflict again.
    if (outcome !== 'WRITTEN') this.#records.invalidate(deviceId);
    return outcome === 'WRITTEN';
  }

  #effectOf(record: DeviceRecord, verdict: BindVerdict | GrantVerdict): Pick<Write, 'state' | 'kind' | 'effect'> {
    if (verdict.kind === 'BIND') {
      return { state: this.#bound(record, verdict), kind: 'BOUND', effect: { close: 'NONE' } };
    }
    const state = noteSuccess(record, verdict, this.#options.clock.now());
    if (verdict.retires !== undefined) {
      return { state, kind: 'RETIRED', effect: { close: 'CREDENTIAL', credentialId: verdict.retires } };
    }
    return { state, kind: verdict.activate ? 'ACTIVATED' : 'USED', effect: { close: 'NONE' } };
  }

  /** A retirement holds everywhere before the success that it waited for is granted, to this question or to another. */
  async #retire(write: Write): Promise<boolean> {
    const { deviceId } = write;
    const begun = this.#settling.get(deviceId);
    if (begun !== undefined) {
      await begun;
      return false;
    }
    const settled = this.#store.write(write).then(async (result) => {
      if (result.outcome === 'WRITTEN') await this.#store.settled(deviceId, result.revision);
      else this.#records.invalidate(deviceId);
      return result.outcome === 'WRITTEN';
    });
    this.#settling.set(deviceId, settled);
    try {
      return await settled;
    } finally {
      if (this.#settling.get(deviceId) === settled) this.#settling.delete(deviceId);
    }
  }
}
