import type { CredentialId, Revision } from '@latchkey/kernel';
import type { Change, RecordKey, Replay, WriteResult } from '../store.ts';
import type { Use, UseReport } from '../uses.ts';

/** A write with its record packed, as it goes to the worker. */
export type WriteCommand = {
  readonly kind: 'WRITE';
  readonly expectedRevision: Revision;
  /** The record's body; undefined deletes. */
  readonly body: Uint8Array | undefined;
  /** When the device is overdue, milliseconds since the epoch; undefined: never. */
  readonly dueMs: number | undefined;
  /** The credentials that the device has then, two at most. */
  readonly credentialIds: readonly CredentialId[];
  readonly change: Omit<Change, 'position'>;
  readonly replay: Replay | undefined;
  readonly nowMs: number;
};

/** What the worker can be told to do. */
export type Command =
  | WriteCommand
  | { readonly kind: 'KEEP'; readonly name: string; readonly value: string }
  | { readonly kind: 'FORGET'; readonly name: string }
  | { readonly kind: 'USES'; readonly uses: readonly Use[] }
  | ({ readonly kind: 'USES_TOLD' } & Omit<UseReport, 'uses'>)
  | { readonly kind: 'USES_END'; readonly replica: string }
  | { readonly kind: 'RESEAL'; readonly key: RecordKey; readonly revision: Revision; readonly body: Uint8Array };

/** What each command answers. */
export type Outcomes = {
  readonly WRITE: WriteResult;
  /** What is kept now. */
  readonly KEEP: string;
  readonly FORGET: true;
  readonly USES: true;
  readonly USES_TOLD: true;
  readonly USES_END: true;
  /** False: a write came between. */
  readonly RESEAL: boolean;
};

/** What one command answered. */
export type Outcome = Outcomes[Command['kind']];

/** To the worker: commands for one transaction, or the end. */
export type Request = readonly Command[] | 'CLOSE';

/** From the worker: it is ready, or one outcome per command of a committed batch, or why nothing of it was written. */
export type Reply =
  | { readonly kind: 'READY' }
  | { readonly kind: 'COMMITTED'; readonly outcomes: readonly Outcome[] }
  | { readonly kind: 'FAILED'; readonly message: string; readonly fatal: boolean };
