import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DeviceRecord, type DeviceState, isRefusal, type Refusal } from '@latchkey/credential';
import { type DeviceId, NO_REVISION, type Revision, systemClock, systemRandom } from '@latchkey/kernel';
import {
  type Change,
  type ChangeListener,
  generateKeyLine,
  openEmbeddedStore,
  parseKeyring,
  type Store,
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
  /** Writes wait here before they are written. */
  readonly writes: Gate;
  /** How often the verifier has read. */
  readonly readCount: () => number;
  /** The writes that the verifier has sent. */
  readonly sent: readonly Write[];
  /** Answers of the lease, one a look; the last one stays. */
  lease: readonly boolean[];
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
  readonly writes = new Gate();
  readonly sent: Write[] = [];
  lease: readonly boolean[] = [true];
  readError: Error | undefined;
  readonly #remove: () => Promise<void>;
  readonly #listeners = new Set<ChangeListener>();
  readonly #unheard: Change[] = [];
  #reads = 0;
  #deaf = false;

  constructor(inner: Store, remove: () => Promise<void>) {
    this.inner = inner;
    this.#remove = remove;
    inner.listen({ changed: (change) => this.#hear(change), lost: () => undefined });
    this.store = {
      ...inner,
      lease: { holds: () => this.#holds(), waitFor: async () => this.#holds() },
      read: (deviceId) => this.#read(deviceId),
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

  set deaf(deaf: boolean) {
    this.#deaf = deaf;
    if (!deaf) for (const change of this.#unheard.splice(0)) this.#hear(change);
  }

  lose(): void {
    for (const listener of this.#listeners) listener.lost();
  }

  async dispose(): Promise<void> {
    this.reads.open();
    this.writes.open();
    await this.inner.close();
    await this.#remove();
  }

  #hear(change: Change): void {
    if (this.#deaf) this.#unheard.push(change);
    else for (const listener of this.#listeners) listener.changed(change);
  }

  #holds(): boolean {
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
