import type { DeviceRecord, DeviceState, LastUses, TrustKey, TrustSet } from '@latchkey/credential';
import type { CredentialId, DeviceId, Revision } from '@latchkey/kernel';
import type { UseReport } from './uses.ts';

/** What a write did to a record. */
export const CHANGE_KINDS = [
  'CREATED',
  'UPDATED',
  'ACTIVATED',
  'USED',
  'BOUND',
  'RESET',
  'RETIRED',
  'PROMOTED',
  'FROZEN',
  'UNFROZEN',
  'DELETED',
  'TRUST_UPDATED',
  'CERTIFICATE_DISABLED',
] as const;

/** What a write did to a record. */
export type ChangeKind = (typeof CHANGE_KINDS)[number];

/**
 * Which open sessions a write ends: none, all of the device, those opened with one credential, or those with a
 * certificate that rest on what was taken away.
 */
export type SessionEffect =
  | { readonly close: 'NONE' }
  | { readonly close: 'CERTIFICATES' }
  | { readonly close: 'DEVICE' }
  | { readonly close: 'CREDENTIAL'; readonly credentialId: CredentialId };

/** Names a record: a device, or a trust set. The changes of all trust sets stand in log 0. */
export type RecordKey = DeviceId | TrustKey;

/** One entry of the log. */
export type Change = {
  /** Which of the store's logs it stands in, from 0. All changes of a record stand in the same one. */
  readonly shard: number;
  /** Where it stands in that log; consecutive integers from 1. It is also the revision that the write made. */
  readonly position: Revision;
  /** Random, drawn by the writer: tells this history from another one with the same positions. */
  readonly nonce: string;
  readonly key: RecordKey;
  readonly kind: ChangeKind;
  readonly effect: SessionEffect;
};

/** A place in the log: the last entry that was taken in. Position 0 with an empty nonce is before the first. */
export type LogPlace = { readonly position: number; readonly nonce: string };

/** What a repeated write is known by, kept for `REPLAY_WINDOW_MS` beside the record. */
export type Replay = {
  /** Operator and request id, at most 128 characters. */
  readonly key: string;
  /** Hash of the request's parameters. */
  readonly parameters: string;
  /** The credential that the write made, moved or took away, if there is one. */
  readonly credentialId: CredentialId | undefined;
};

/** How long a request id is remembered: 10 minutes, longer than any caller retries. */
export const REPLAY_WINDOW_MS = 600_000;

/** One write of one record. It takes effect only if the record has the expected revision. */
export type Write = {
  readonly deviceId: DeviceId;
  /** The record's revision; 0: there must be none. */
  readonly expectedRevision: Revision;
  /** The new state; undefined deletes the record. */
  readonly state: DeviceState | undefined;
  readonly kind: ChangeKind;
  readonly effect: SessionEffect;
  readonly replay: Replay | undefined;
};

/** What became of a write. */
export type WriteResult =
  | { readonly outcome: 'WRITTEN'; readonly revision: Revision }
  /** The record has another revision. */
  | { readonly outcome: 'CONFLICT'; readonly revision: Revision }
  /** The replay key was used before: nothing was written. */
  | { readonly outcome: 'REPLAYED'; readonly revision: Revision; readonly replay: Replay };

/** A trust set as the store has it. */
export type TrustRecord = TrustSet & { readonly revision: Revision };

/** One write of one trust set. It takes effect only if the set has the expected revision. */
export type TrustWrite = {
  readonly key: TrustKey;
  /** The set's revision; 0: nothing is kept of it. */
  readonly expectedRevision: Revision;
  readonly set: TrustSet;
  readonly kind: ChangeKind;
  readonly effect: SessionEffect;
};

/** What became of a write that has no replay. */
export type TrustWriteResult = Exclude<WriteResult, { readonly outcome: 'REPLAYED' }>;

/** Most records, ids or log entries that one call answers, whatever limit it is given: it keeps a call in a few ms. */
export const PAGE_MAX = 1_000;

/** A page of records in the order of their ids. */
export type Page = { readonly records: readonly DeviceRecord[]; readonly next: DeviceId | undefined };

/**
 * Entries of the log after a place; undefined entries: the place is unknown (trimmed, or of another history). `end` is
 * the last entry of the log at that moment, not of the slice.
 */
export type LogSlice = { readonly entries: readonly Change[] | undefined; readonly end: LogPlace };

/** What reached this process of other writers' changes, and of its own. A listener must not throw. */
export type ChangeListener = {
  /** One change, in the order of the log. Called before the write that made it answers in this process. */
  readonly changed: (change: Change) => void;
  /** Changes may have been missed: whatever was read before is in doubt. */
  readonly lost: () => void;
};

/**
 * The right to decide from what was read before. The embedded store has one process and always has it; a replica over
 * a shared store has it only while it provably hears of every write.
 */
export type Lease = {
  /** May a decision on this record be made at this moment; without one: on any? Reads the clock; never cached. */
  readonly holds: (key?: RecordKey) => boolean;
  /** Waits for that, at most `deadlineMs` milliseconds; false: not had. */
  readonly waitFor: (deadlineMs: number, key?: RecordKey) => Promise<boolean>;
};

/** Numbers that a store tells of itself, by name in snake_case with the unit last; `shards` and `leases_held` are in all. */
export type Figures = Readonly<Record<string, number>>;

/**
 * Devices, durable. Every method rejects with a StoreUnavailable when the store cannot answer, and with a RecordError or
 * a SealingError when a record cannot be packed or read: the store works, but that record is damaged or its key missing.
 */
export type Store = {
  /** Random, made with the store: tells it from any other. */
  readonly storeId: string;
  /** How many logs the store has, for as long as it exists. A device's is the CRC-32 of its id modulo this. */
  readonly shards: number;
  readonly lease: Lease;
  /** As of now, cheap, and after the end as well. */
  readonly figures: () => Figures;
  /** The record as of now, never from a cache. */
  readonly read: (deviceId: DeviceId) => Promise<DeviceRecord | undefined>;
  /** Writes record, log entry and replay as one step; durable when it answers. */
  readonly write: (write: Write) => Promise<WriteResult>;
  /** Resolves when no process may decide on anything of the record that is older than this position. */
  readonly settled: (key: RecordKey, position: Revision) => Promise<void>;
  /** A trust set as of now, never from a cache; undefined: nothing is kept of it. */
  readonly readTrust: (key: TrustKey) => Promise<TrustRecord | undefined>;
  /** Writes trust set and log entry as one step; durable when it answers. */
  readonly writeTrust: (write: TrustWrite) => Promise<TrustWriteResult>;
  /** The replay that this key has left, if it is not too old. */
  readonly replayed: (
    deviceId: DeviceId,
    key: string,
  ) => Promise<{ readonly revision: Revision; readonly replay: Replay } | undefined>;
  /** Records whose id begins with `prefix`, after `after`, in the order of their ids' bytes; at most `limit`. */
  readonly list: (query: {
    readonly after: DeviceId | undefined;
    readonly prefix: string;
    readonly limit: number;
  }) => Promise<Page>;
  /** Devices whose time is up, the earliest first, at most `limit`: an activation timeout or a retirement is due. */
  readonly overdue: (nowMs: number, limit: number) => Promise<readonly DeviceId[]>;
  /**
   * Notes last uses, outside records and logs: never back in time, only of devices that are there, and gone with their
   * device and credential. Then notes how far the replica's reports are complete; replicas that vanished leave time in
   * which uses may have gone unnoticed.
   */
  readonly reportUses: (report: UseReport) => Promise<void>;
  /** The replica stops: its reports are complete for good. */
  readonly endUses: (replica: string) => Promise<void>;
  /** What is known of the last uses of these devices' credentials; at most PAGE_MAX devices. */
  readonly lastUses: (deviceIds: readonly DeviceId[]) => Promise<LastUses>;
  /** One log after a place, at most `limit` entries. */
  readonly log: (shard: number, after: LogPlace, limit: number) => Promise<LogSlice>;
  /** Whether this process provably hears of every write to that log at this moment. Reads the clock; never cached. */
  readonly hears: (shard: number) => boolean;
  /** Hears every change from now on; the returned function ends it. */
  readonly listen: (listener: ChangeListener) => () => void;
  /** Keeps `value` under `name` if nothing is there, and answers what is there now. */
  readonly keep: (name: string, value: string) => Promise<string>;
  /** What is kept under `name`. */
  readonly kept: (name: string) => Promise<string | undefined>;
  /** Drops what `keep` kept under `name`; nothing happens when nothing is there. */
  readonly forget: (name: string) => Promise<void>;
  /**
   * Looks at up to `limit` records after `after` and seals those again that are not under the keyring's current key:
   * same content, same revision, no entry in the log, and only if no write came between. `resealed` counts them; `next`
   * is where to go on, undefined at the end. A full pass is a loop until `next` is undefined.
   */
  readonly reseal: (
    after: DeviceId | undefined,
    limit: number,
  ) => Promise<{ readonly resealed: number; readonly next: DeviceId | undefined }>;
  /** Seals all trust sets again that are not under the current key, as `reseal` does; answers how many. */
  readonly resealTrust: () => Promise<number>;
  /** Ends all work; what was acknowledged stays. */
  readonly close: () => Promise<void>;
};

/** The store cannot answer: no decision can be made and no write is known to have happened. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}
