import { type DeviceRecord, type DeviceState, dueAtMs, heldIn } from '@latchkey/credential';
import type { Clock, CredentialId, DeviceId, Random } from '@latchkey/kernel';
import { type Keyring, SealingError } from '../keyring.ts';
import { packState, packTrust, RecordError, revisionOf, sealedUnder, unpackRecord, unpackTrust } from '../record.ts';
import {
  PAGE_MAX,
  REPLAY_WINDOW_MS,
  type Store,
  StoreUnavailable,
  type TrustWrite,
  type TrustWriteResult,
  type Write,
} from '../store.ts';
import type { UseReport } from '../uses.ts';
import type { Command, Outcome, WriteCommand } from './commands.ts';
import { openReader, prepareDatabase } from './database.ts';
import { type Listeners, makeListeners } from './listeners.ts';
import { lockDirectory } from './lock.ts';
import { WriteQueue } from './queue.ts';
import { makeReader, type Reader, type StoredRecord } from './reader.ts';

/** What the embedded store is made of. */
export type EmbeddedOptions = {
  /** Holds the database; made with mode 0700 if it is not there, and locked while the store is open. */
  readonly directory: string;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly random: Random;
};

/** The parts of an open store. */
type Parts = EmbeddedOptions & {
  readonly storeId: string;
  readonly queue: WriteQueue;
  readonly listeners: Listeners;
  readonly reader: Reader;
  readonly closeReader: () => void;
  readonly unlock: () => void;
};

// 72 bits: no two histories of a store share a nonce at the same position by chance.
const NONCE_BYTES = 9;

const KNOWN_ERRORS = [StoreUnavailable, RecordError, SealingError];

/** Runs a step of the open store; whatever goes wrong in it, records aside, is a StoreUnavailable. */
async function guarded<T>({ queue }: Parts, step: () => T | Promise<T>): Promise<T> {
  if (queue.ended !== undefined) throw queue.ended;
  try {
    return await step();
  } catch (cause) {
    if (KNOWN_ERRORS.some((known) => cause instanceof known)) throw cause;
    throw new StoreUnavailable(cause instanceof Error ? cause.message : 'the store failed', { cause });
  }
}

function packed({ keyring, random }: Parts, state: DeviceState): Uint8Array {
  // A copy of its own size: what crosses to the worker takes its whole memory along, and packing uses a shared pool.
  return new Uint8Array(packState(state, keyring, random));
}

function commandOf(parts: Parts, { deviceId, expectedRevision, state, kind, effect, replay }: Write): WriteCommand {
  if (state !== undefined && state.deviceId !== deviceId)
    throw new RecordError(`a state of device ${state.deviceId} is not one of device ${deviceId}`);
  return {
    kind: 'WRITE',
    expectedRevision,
    body: state === undefined ? undefined : packed(parts, state),
    dueMs: state === undefined ? undefined : dueAtMs(state),
    credentialIds: state === undefined ? [] : credentialIdsOf(state),
    change: { shard: 0, nonce: nonceOf(parts), key: deviceId, kind, effect },
    replay,
    nowMs: parts.clock.now(),
  };
}

function nonceOf({ random }: Parts): string {
  return Buffer.from(random(NONCE_BYTES)).toString('base64url');
}

function trustCommandOf(parts: Parts, { key, expectedRevision, set, kind, effect }: TrustWrite): WriteCommand {
  return {
    ...{ kind: 'WRITE', expectedRevision, dueMs: undefined, credentialIds: [], replay: undefined },
    body: new Uint8Array(packTrust(key, set, parts.keyring, parts.random)),
    change: { shard: 0, nonce: nonceOf(parts), key, kind, effect },
    nowMs: parts.clock.now(),
  };
}

async function writeTrust(parts: Parts, write: TrustWrite): Promise<TrustWriteResult> {
  const result = await parts.queue.submit(trustCommandOf(parts, write));
  if (result.outcome === 'REPLAYED') throw new Error('a write without a replay was answered by one');
  return result;
}

async function resealTrust({ keyring, random, reader, queue }: Parts): Promise<number> {
  let resealed = 0;
  // One after another: together they may be large.
  for (const key of reader.trustKeys()) {
    const bytes = reader.trust(key);
    if (bytes === undefined || sealedUnder(bytes, key) === keyring.current.reference) continue;
    const body = new Uint8Array(packTrust(key, unpackTrust(bytes, keyring, key), keyring, random));
    if (await queue.submit({ kind: 'RESEAL', key, revision: revisionOf(bytes, key), body })) resealed += 1;
  }
  return resealed;
}

function credentialIdsOf(state: DeviceState): readonly CredentialId[] {
  const held = [heldIn(state, 'PRIMARY'), heldIn(state, 'SECONDARY')];
  return held.filter((content) => content !== undefined).map(({ credentialId }) => credentialId);
}

// Rows of one command: a few milliseconds of the writing thread.
const USES_A_COMMAND = 1_000;

/** The report counts as complete only after all of its uses are on the disk. */
async function reportUses({ queue }: Parts, { uses, ...told }: UseReport): Promise<void> {
  const slices = Array.from({ length: Math.ceil(uses.length / USES_A_COMMAND) }, (_, index) =>
    uses.slice(index * USES_A_COMMAND, (index + 1) * USES_A_COMMAND),
  );
  await Promise.all(slices.map((slice) => queue.submit({ kind: 'USES', uses: slice })));
  await queue.submit({ kind: 'USES_TOLD', ...told });
}

function unpacked({ keyring }: Parts, { deviceId, bytes }: StoredRecord): DeviceRecord {
  return unpackRecord(bytes, keyring, deviceId);
}

/** One record more than asked for tells whether there is a next page. */
function pageOf<T extends { readonly deviceId: DeviceId }>(
  records: readonly T[],
  limit: number,
): { readonly records: readonly T[]; readonly next: DeviceId | undefined } {
  const page = records.slice(0, limit);
  return { records: page, next: records.length > limit ? page.at(-1)?.deviceId : undefined };
}

async function reseal(
  parts: Parts,
  after: DeviceId | undefined,
  limit: number,
): Promise<{ readonly resealed: number; readonly next: DeviceId | undefined }> {
  const page = pageOf(parts.reader.page(after ?? '', '', limit + 1), limit);
  const { reference } = parts.keyring.current;
  const old = page.records.filter(({ bytes, deviceId }) => sealedUnder(bytes, deviceId) !== reference);
  const done = await Promise.all(
    old.map((record) => {
      const revision = revisionOf(record.bytes, record.deviceId);
      const body = packed(parts, unpacked(parts, record));
      return parts.queue.submit({ kind: 'RESEAL', key: record.deviceId, revision, body });
    }),
  );
  return { resealed: done.filter(Boolean).length, next: page.next };
}

function bounded(limit: number): number {
  return Math.min(Math.max(1, Math.floor(limit)), PAGE_MAX);
}

/** The writer closes last: it folds SQLite's log into the database, which a reader may not do. */
async function shut({ queue, closeReader, unlock }: Parts): Promise<void> {
  await queue.drain();
  closeReader();
  await queue.stop();
  unlock();
}

function makeStore(parts: Parts): Store {
  const { queue, reader, clock } = parts;
  const isOpen = () => queue.ended === undefined;
  let closing: Promise<void> | undefined;
  return {
    storeId: parts.storeId,
    shards: 1,
    lease: { holds: isOpen, waitFor: async () => isOpen() },
    hears: isOpen,
    figures: () => ({ shards: 1, leases_held: isOpen() ? 1 : 0, writes_pending: queue.pending }),
    read: (deviceId) =>
      guarded(parts, () => {
        const bytes = reader.record(deviceId);
        return bytes === undefined ? undefined : unpacked(parts, { deviceId, bytes });
      }),
    write: (write) => guarded(parts, () => queue.submit(commandOf(parts, write))),
    readTrust: (key) =>
      guarded(parts, () => {
        const bytes = reader.trust(key);
        return bytes === undefined ? undefined : unpackTrust(bytes, parts.keyring, key);
      }),
    writeTrust: (write) => guarded(parts, () => writeTrust(parts, write)),
    resealTrust: () => guarded(parts, () => resealTrust(parts)),
    settled: () => guarded(parts, () => undefined),
    replayed: (deviceId, key) => guarded(parts, () => reader.replayed(deviceId, key, clock.now() - REPLAY_WINDOW_MS)),
    list: ({ after, prefix, limit }) =>
      guarded(parts, () => {
        const size = bounded(limit);
        const page = pageOf(reader.page(after ?? '', prefix, size + 1), size);
        return { records: page.records.map((record) => unpacked(parts, record)), next: page.next };
      }),
    overdue: (nowMs, limit) => guarded(parts, () => reader.overdue(nowMs, bounded(limit))),
    reportUses: (report) => guarded(parts, () => reportUses(parts, report)),
    endUses: (replica) =>
      guarded(parts, async () => {
        await queue.submit({ kind: 'USES_END', replica });
      }),
    lastUses: (deviceIds) => guarded(parts, () => reader.lastUses(deviceIds.slice(0, PAGE_MAX))),
    log: (_shard, after, limit) => guarded(parts, () => reader.log(after, bounded(limit))),
    listen: parts.listeners.add,
    keep: (name, value) => guarded(parts, () => queue.submit({ kind: 'KEEP', name, value })),
    kept: (name) => guarded(parts, () => reader.kept(name)),
    forget: (name) =>
      guarded(parts, async () => {
        await queue.submit({ kind: 'FORGET', name });
      }),
    reseal: (after, limit) => guarded(parts, () => reseal(parts, after, bounded(limit))),
    close: () => {
      closing ??= shut(parts);
      return closing;
    },
  };
}

function tellChanges(listeners: Listeners, commands: readonly Command[], outcomes: readonly Outcome[]): void {
  for (const [index, command] of commands.entries()) {
    const outcome = outcomes[index];
    if (command.kind !== 'WRITE' || typeof outcome !== 'object' || outcome.outcome !== 'WRITTEN') continue;
    listeners.tell({ position: outcome.revision, ...command.change });
  }
}

/**
 * Opens the store of one process: SQLite in a data directory, writes grouped in a thread of their own and synced to the
 * disk before they answer, reads on this thread. Its lease holds while it is open. Rejects with a StoreUnavailable that
 * names the directory when another process has it, or when its files are damaged or foreign.
 */
export async function openEmbeddedStore(options: EmbeddedOptions): Promise<Store> {
  const { directory, random } = options;
  const unlock = lockDirectory(directory);
  try {
    const storeId = prepareDatabase(directory, random);
    const listeners = makeListeners();
    const queue = await WriteQueue.start(directory, (commands, outcomes) => tellChanges(listeners, commands, outcomes));
    const database = openReader(directory);
    const closeReader = () => database.close();
    return makeStore({ ...options, storeId, queue, listeners, reader: makeReader(database), closeReader, unlock });
  } catch (error) {
    unlock();
    throw error;
  }
}
