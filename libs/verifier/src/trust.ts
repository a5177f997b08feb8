import {
  type Basis,
  CAS_KEY,
  markKeyOf,
  NOTHING_TRUSTED,
  type Proof,
  shownMarks,
  type TrustKey,
  type TrustView,
  type VerifyContext,
  viewOf,
} from '@latchkey/credential';
import { NO_REVISION, type Revision } from '@latchkey/kernel';
import type { Lease, Store } from '@latchkey/store';
import { type Plain, plainForm, Records, type Sighting } from './records.ts';

/** All trust sets that there can be: one of CAs, 256 of disabled certificates, 256 of CRLs. */
const MAX_SETS = 513;

/** A trust set as it was read. */
type SetSighting = Sighting<TrustKey, TrustView, Plain<TrustView>>;

/** What a certificate is judged by besides its device, as it was read: it holds as long as all of its sets do. */
export type TrustSighting = Pick<VerifyContext, 'trustedCas' | 'disabled'> & {
  /** Marks of what was shown, or of what a session rests on. */
  readonly marks: readonly string[];
  /** Empty: no certificate is in play, and nothing of what is trusted matters. */
  readonly sets: readonly SetSighting[];
};

/** What is trusted does not matter to a proof without a certificate. */
const NO_CERTIFICATE: TrustSighting = { trustedCas: new Map(), disabled: false, marks: [], sets: [] };

/** What CAs and disabled certificates say of proofs and sessions: cached and checked as the devices' records are. */
export class Trust {
  readonly #store: Pick<Store, 'readTrust'>;
  readonly #lease: Lease;
  readonly #records: Records<TrustKey, TrustView, Plain<TrustView>>;

  #heardOf: Revision = NO_REVISION;

  constructor(store: Pick<Store, 'readTrust' | 'lease'>, monotonic: () => number) {
    this.#store = store;
    this.#lease = store.lease;
    this.#records = new Records({ read: (key) => this.#view(key), monotonic, maxRecords: MAX_SETS, form: plainForm() });
  }

  /** What bears on the proof, if it is all in memory. */
  cached(proof: Proof): TrustSighting | undefined {
    if (!hasCertificate(proof)) return NO_CERTIFICATE;
    const marks = shownMarks(proof);
    const sets = keysFor(marks).map((key) => this.#records.cached(key));
    const known = sets.filter((set) => set !== undefined);
    return known.length === sets.length ? sightingOf(marks, known) : undefined;
  }

  /** What bears on the proof, from memory or from the store: at once when that is nothing. Rejects as the store does. */
  read(proof: Proof): TrustSighting | Promise<TrustSighting> {
    return hasCertificate(proof) ? this.readFor(shownMarks(proof)) : NO_CERTIFICATE;
  }

  /** What bears on certificates with these marks. Rejects as the store does. */
  async readFor(marks: readonly string[]): Promise<TrustSighting> {
    const sets = keysFor(marks).map((key) => this.#records.cached(key) ?? this.#records.read(key));
    return sightingOf(marks, await Promise.all(sets));
  }

  /** What bears on the proof, from the store whatever is in memory; good for a look, not for a decision. */
  async look(proof: Proof): Promise<Pick<VerifyContext, 'trustedCas' | 'disabled'>> {
    if (!hasCertificate(proof)) return NO_CERTIFICATE;
    const marks = shownMarks(proof);
    return judgedBy(marks, await Promise.all(keysFor(marks).map((key) => this.#view(key))));
  }

  /** May a decision rest on it at this moment? */
  stands({ sets }: TrustSighting): boolean {
    if (sets.length === 0) return true;
    return this.#lease.holds(CAS_KEY) && sets.every((set) => this.#records.isCurrent(set));
  }

  /** A trust set changed. */
  changed(key: TrustKey, position: Revision): void {
    this.#heardOf = position;
    this.#records.invalidate(key);
  }

  /** A change at this position is known elsewhere: what was read before this replica has heard of it does not count. */
  noOlderThan(position: Revision): void {
    if (position > this.#heardOf) this.#records.invalidateAll();
  }

  /** Changes may have been missed. */
  invalidateAll(): void {
    this.#records.invalidateAll();
  }

  async #view(key: TrustKey): Promise<TrustView> {
    return viewOf((await this.#store.readTrust(key)) ?? NOTHING_TRUSTED);
  }
}

/** Whether what is trusted bears on the proof. */
export function hasCertificate({ kind }: Proof): boolean {
  return kind === 'CERTIFICATE' || kind === 'FINGERPRINT';
}

/** What a grant rests on besides the record; undefined: on nothing. */
export function basisOf({ sets, marks }: TrustSighting, caIds: readonly string[]): Basis | undefined {
  return sets.length === 0 ? undefined : { marks, caIds };
}

function keysFor(marks: readonly string[]): readonly TrustKey[] {
  return [...new Set([CAS_KEY, ...marks.map(markKeyOf)])];
}

function sightingOf(marks: readonly string[], sets: readonly SetSighting[]): TrustSighting {
  const views = sets.map(({ record }) => record).filter((view) => view !== undefined);
  return { marks, sets, ...judgedBy(marks, views) };
}

function judgedBy(marks: readonly string[], [cas, ...others]: readonly TrustView[]) {
  const disabled = marks.some((mark) => others.some((view) => view.disabled.has(mark)));
  return { trustedCas: cas?.trustedCas ?? new Map(), disabled };
}
