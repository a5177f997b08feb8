import { status } from '@grpc/grpc-js';
import { type DeviceRecord, type DeviceState, dueRetirement } from '@latchkey/credential';
import type { Clock, CredentialId, DeviceId, Revision } from '@latchkey/kernel';
import { NO_REVISION } from '@latchkey/kernel';
import { RpcError } from '@latchkey/rpc';
import type { ChangeKind, Replay, SessionEffect, Store } from '@latchkey/store';

/** What a write shall make of a record. */
export type Plan = {
  /** The new state; undefined deletes the record. */
  readonly state: DeviceState | undefined;
  readonly kind: ChangeKind;
  readonly effect: SessionEffect;
  /** The credential that it makes, moves or takes away, if there is one. */
  readonly credentialId?: CredentialId | undefined;
};

/** One operator's request to write one record. */
export type WriteRequest = {
  readonly deviceId: DeviceId;
  readonly operator: string;
  /** A UUID, or empty. */
  readonly requestId: string;
  /** Digest of the request's parameters; never of a secret. */
  readonly parameters: string;
  readonly expectedRevision: Revision | undefined;
  /** What to write; undefined: the record is already as asked for. Throws an RpcError to refuse. */
  readonly plan: (record: DeviceRecord | undefined) => Plan | undefined;
};

/** What stands after a write. */
export type Written = {
  /** The record; undefined: deleted. */
  readonly record: DeviceRecord | undefined;
  readonly revision: Revision;
  /** What the request left, when it was answered before. */
  readonly replay: Replay | undefined;
};

/** What a write works on. */
export type WritePorts = { readonly store: Store; readonly clock: Clock };

/** Conflicts that are tried again before the caller is told; the device is being written by many at once. */
const MAX_ATTEMPTS = 8;

/**
 * Writes a record and waits until no process decides on what was there before. A request id is looked at before
 * anything else: a repeated request waits just as long, and writes nothing. A retirement that is due is carried out first,
 * so that every write begins from what counts.
 */
export async function writeRecord({ store, clock }: WritePorts, request: WriteRequest): Promise<Written> {
  const { deviceId, requestId, operator } = request;
  const key = requestId === '' ? undefined : `${operator}/${requestId}`;
  const earlier = key === undefined ? undefined : await store.replayed(deviceId, key);
  if (earlier !== undefined) return repeat(store, request, earlier);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const record = await store.read(deviceId);
    if (record !== undefined && (await carryOutRetirement(store, record, clock.now())) !== undefined) continue;
    const revision = record?.revision ?? NO_REVISION;
    const plan = planFor(request, record, revision);
    if (plan instanceof RpcError) {
      // The same request may have been written by a twin that came at the same time.
      const twin = key === undefined ? undefined : await store.replayed(deviceId, key);
      if (twin !== undefined) return repeat(store, request, twin);
      throw plan;
    }
    if (plan === undefined) return unchanged(store, deviceId, { record, revision });
    const { credentialId, state, kind, effect } = plan;
    const replay = key === undefined ? undefined : { key, parameters: request.parameters, credentialId };
    const result = await store.write({ deviceId, expectedRevision: revision, state, kind, effect, replay });
    if (result.outcome === 'REPLAYED') return repeat(store, request, result);
    if (result.outcome === 'CONFLICT') continue;
    await store.settled(deviceId, result.revision);
    const sessionsClosedAt = effect.close === 'DEVICE' ? result.revision : (record?.sessionsClosedAt ?? NO_REVISION);
    const written = state && { ...state, revision: result.revision, sessionsClosedAt };
    return { record: written, revision: result.revision, replay: undefined };
  }
  throw new RpcError(status.ABORTED, 'the device is being written by others; try again');
}

/**
 * Empties the slot whose retirement is due, and ends the sessions of its credential; no process decides on it any more,
 * so nothing is waited for. Undefined: none is due; false: a write came between.
 */
export async function carryOutRetirement(
  store: Store,
  record: DeviceRecord,
  nowMs: number,
): Promise<boolean | undefined> {
  const due = dueRetirement(record, nowMs);
  if (due === undefined) return undefined;
  const { deviceId, revision: expectedRevision } = record;
  const effect = { close: 'CREDENTIAL', credentialId: due.credentialId } as const;
  const write = { deviceId, expectedRevision, state: due.state, effect, replay: undefined };
  return (await store.write({ ...write, kind: 'RETIRED' })).outcome === 'WRITTEN';
}

function planFor(
  request: WriteRequest,
  record: DeviceRecord | undefined,
  revision: Revision,
): Plan | RpcError | undefined {
  if (request.expectedRevision !== undefined && request.expectedRevision !== revision) return conflict(revision);
  try {
    return request.plan(record);
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
}

/** Nothing to write; whoever wrote it may still be waiting for the others, so this waits too. */
async function unchanged(store: Store, deviceId: DeviceId, stands: Omit<Written, 'replay'>): Promise<Written> {
  await store.settled(deviceId, stands.revision);
  return { ...stands, replay: undefined };
}

async function repeat(
  store: Store,
  request: WriteRequest,
  earlier: { readonly revision: Revision; readonly replay: Replay },
): Promise<Written> {
  const { replay, revision } = earlier;
  if (replay.parameters !== request.parameters)
    throw new RpcError(status.INVALID_ARGUMENT, 'request_id: it was used with other parameters');
  await store.settled(request.deviceId, revision);
  const record = await store.read(request.deviceId);
  return { record, revision, replay };
}

/** The record has another revision than the caller expects. */
export function conflict(revision: Revision): RpcError {
  return new RpcError(status.ABORTED, `expected_revision: the device's record has revision ${revision}`);
}

/** The outcome of a repeated request is no longer what stands. */
export function superseded(): RpcError {
  return new RpcError(status.ABORTED, 'request_id: what this request wrote was replaced since');
}
