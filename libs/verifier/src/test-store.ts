import type { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CAS_KEY,
  caIdOf,
  type DeviceRecord,
  type DeviceState,
  isRefusal,
  NOTHING_TRUSTED,
  type Refusal,
  type TrustKey,
  type TrustSet,
} from '@latchkey/credential';
import { type DeviceId, NO_REVISION, type Revision, systemClock, systemRandom } from '@latchkey/kernel';
import {
  type Change,
  type ChangeListener,
  generateKeyLine,
  openEmbeddedStore,
  parseKeyring,
  type RecordKey,
  type Store,
  type TrustRecord,
  type Write,
} from '@latchkey/store';

/** A door for calls: they pass while it is open, and wait while it is shut. */
export class Gate {
  #shut = false;
  readonly #waiting: (() => void)[] = [];

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  shut(): void {
    this.#shut = true;
  }

  open(): void {
    this.#shut = false;
    for (const pass of this.#waiting.splice(0)) pass();
  }

  /** Lets one call through, the oldest being 0; nothing happens when there is none. */
  release(index = 0): void {
    this.#waiting.splice(index, 1)[0]?.();
  }

  async pass(): Promise<void> {
    if (this.#shut) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** An embedded store whose reads, writes, changes and lease a test can hold up. */
export type HeldStore = {
  /** For the verifier. */
  readonly store: Store;
  /** The same store without doors, for the operator's part. */
  readonly inner: Store;
  /** A read has its record already when it waits here. */
  readonly reads: Gate;
  /** A read of a trust set has it already when it waits here. */
  readonly trustReads: Gate;
  /** Writes wait here before they are written. */
  readonly writes: Gate;
  /** How often the verifier has read. */
  readonly readCount: () => number;
  /** How often the verifier has read a trust set. */
  readonly trustReadCount: () => number;
  /** The writes that the verifier has sent. */
  readonly sent: readonly Write[];
  /** Answers of the lease, one a look; the last one stays. */
  lease: readonly boolean[];
  /** Records on which no decision may be made meanwhile. */
  readonly leaseless: Set<RecordKey>;
  /** True: changes wait; set to false again, they arrive in order. */
  deaf: boolean;
  /** What the next read fails with. */
  readError: Error | undefined;
  /** Tells the verifier that changes may have been missed. */
  readonly lose: () => void;
  readonly dispose: () => Promise<void>;
};

/** Opens one over a new directory. */
export async function holdStore(): Promise<HeldStore> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-verifier-'));
  const keyring = parseKeyring(generateKeyLine('k1', systemRandom));
  const inner = await openEmbeddedStore({ directory, keyring, clock: systemClock, random: systemRandom });
  return new Held(inner, () => rm(directory, { recursive: true }));
}

class Held implements HeldStore {
  readonly inner: Store;
  readonly store: Store;
  readonly reads = new Gate();
  readonly trustReads = new Gate();
  readonly leaseless = new Set<RecordKey>();
  readonly writes = new Gate();
  readonly sent: Write[] = [];
  lease: readonly boolean[] = [true];
  readError: Error | undefined;
  readonly #remove: () => Promise<void>;
  readonly #listeners = new Set<ChangeListener>();
  readonly #unheard: Change[] = [];
  #reads = 0;
  #trustReads = 0;
  #deaf = false;

  constructor(inner: Store, remove: () => Promise<void>) {
    this.inner = inner;
    this.#remove = remove;
    inner.listen({ changed: (change) => this.#hear(change), lost: () => undefined });
    this.store = {
      ...inner,
      lease: { holds: (key) => this.#holds(key), waitFor: async (_, key) => this.#holds(key) },
      read: (deviceId) => this.#read(deviceId),
      readTrust: (key) => this.#readTrust(key),
      write: (write) => this.#write(write),
      listen: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }

  readCount(): number {
    return this.#reads;
  }

  trustReadCount(): number {
    return this.#trustReads;
  }

  set deaf(deaf: boolean) {
    this.#deaf = deaf;
    if (!deaf) for (const change of this.#unheard.splice(0)) this.#hear(change);
  }

  lose(): void {
    for (const listener of this.#listeners) listener.lost();
  }

  async dispose(): Promise<void> {
    this.reads.open();
    this.trustReads.open();
    this.writes.open();
    await this.inner.close();
    await this.#remove();
  }

  #hear(change: Change): void {
    if (this.#deaf) this.#unheard.push(change);
    else for (const listener of this.#listeners) listener.changed(change);
  }

  #holds(key: RecordKey | undefined): boolean {
    if (key !== undefined && this.leaseless.has(key)) return false;
    const [now = true, ...later] = this.lease;
    if (later.length > 0) this.lease = later;
    return now;
  }

  async #read(deviceId: DeviceId): Promise<DeviceRecord | undefined> {
    this.#reads += 1;
    if (this.readError !== undefined) throw this.readError;
    const record = await this.inner.read(deviceId);
    await this.reads.pass();
    return record;
  }

  async #readTrust(key: TrustKey): Promise<TrustRecord | undefined> {
    this.#trustReads += 1;
    const record = await this.inner.readTrust(key);
    await this.trustReads.pass();
    return record;
  }

  async #write(write: Write): ReturnType<Store['write']> {
    this.sent.push(write);
    await this.writes.pass();
    return this.inner.write(write);
  }
}

/** Writes what `change` makes of a device, as an operator's request does; undefined deletes it. */
export async function operate(
  store: Store,
  deviceId: DeviceId,
  change: (record: DeviceRecord | undefined) => DeviceState | Refusal | undefined,
): Promise<Revision> {
  const record = await store.read(deviceId);
  const state = change(record);
  if (state !== undefined && isRefusal(state)) throw new Error(`refused: ${state.refused}`);
  const result = await store.write({
    deviceId,
    expectedRevision: record?.revision ?? NO_REVISION,
    state,
    kind: 'UPDATED',
    effect: { close: 'NONE' },
    replay: undefined,
  });
  if (result.outcome === 'CONFLICT') return operate(store, deviceId, change);
  await store.settled(deviceId, result.revision);
  return result.revision;
}

/** Writes what `change` makes of a trust set, as an operator's request does. */
export async function entrust(
  store: Store,
  key: TrustKey,
  change: (set: TrustSet) => TrustSet | Refusal,
): Promise<void> {
  const record = await store.readTrust(key);
  const set = change(record ?? NOTHING_TRUSTED);
  if (isRefusal(set)) throw new Error(`refused: ${set.refused}`);
  const expectedRevision = record?.revision ?? NO_REVISION;
  const effect = { close: 'CERTIFICATES' } as const;
  const result = await store.writeTrust({ key, expectedRevision, set, kind: 'CERTIFICATE_DISABLED', effect });
  if (result.outcome === 'CONFLICT') return entrust(store, key, change);
  await store.settled(key, result.revision);
}

/** Has the store trust a CA. */
export function trustCa(store: Store, certificate: X509Certificate): Promise<void> {
  const ca = { caId: caIdOf(certificate), der: certificate.raw, status: 'TRUSTED', verifyCode: '' } as const;
  return entrust(store, CAS_KEY, (set) => ({ ...set, cas: [...set.cas, ca] }));
}
