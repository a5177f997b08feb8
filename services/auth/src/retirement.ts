import { create } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import {
  contentOf,
  type DeviceRecord,
  type DeviceState,
  heldIn,
  isRefusal,
  type LastUses,
  lastUseOf,
  locksOut,
  otherSlot,
  type Refusal,
  type RetireWhen,
  retire,
  retireLater,
  type Slot,
  standingAt,
} from '@latchkey/credential';
import type { CredentialId, DeviceId } from '@latchkey/kernel';
import {
  type RetireCredentialRequest,
  RetireCredentialRequestSchema,
  type RetireCredentialResponse,
  type RetireCredentialResponse_Outcome,
  RetireCredentialResponse_OutcomeSchema,
  RetireCredentialResponseSchema,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import { slotOf } from './convert.ts';
import type { Ports } from './ports.ts';
import { readDeviceId } from './question.ts';
import { accepted, existing, parametersOf, readRevision } from './request.ts';
import { conflict, type Plan, superseded, type Written, writeRecord } from './writes.ts';

/** What a call asks of each of its devices. */
type Retirement = { readonly slot: Slot; readonly when: RetireWhen };

/** A device as the call found it. */
type Found = { readonly deviceId: DeviceId; readonly record: DeviceRecord };

/** Empties a slot of many devices, now or later; without `execute` it only says whom that would lock out. */
export async function retireCredentials(
  ports: Ports,
  request: RetireCredentialRequest,
  operator: string,
): Promise<RetireCredentialResponse> {
  const nowMs = ports.clock.now();
  const retirement = { slot: slotOf(request.slot), when: momentOf(request, nowMs) };
  const expectedRevision = readRevision(request.expectedRevision);
  if (expectedRevision !== undefined && request.deviceIds.length > 1)
    throw new RpcError(status.INVALID_ARGUMENT, 'expected_revision: only with one device');
  const found = await findAll(ports, request.deviceIds.map(readDeviceId), retirement);
  await ports.verifier.tellUses();
  const uses = await ports.store.lastUses(found.map(({ deviceId }) => deviceId));
  const outcomes = found.map(({ record }) => outcomeOf(standingAt(record, nowMs), retirement, uses));
  if (!request.execute) {
    const moved = found.find(({ record }) => expectedRevision !== undefined && record.revision !== expectedRevision);
    if (moved !== undefined) throw conflict(moved.record.revision);
    return create(RetireCredentialResponseSchema, { outcomes });
  }
  const parameters = parametersOf(RetireCredentialRequestSchema, request);
  const head = { operator, requestId: request.requestId, parameters, expectedRevision };
  // Each write is waited for, also when another one fails: then it is known what was still under way.
  const writes = await Promise.allSettled(
    found.map(({ deviceId }) => writeRecord(ports, { ...head, deviceId, plan: planFor(deviceId, retirement) })),
  );
  for (const [index, result] of writes.entries()) {
    if (result.status === 'rejected') throw result.reason;
    if (!holds(result.value, retirement.slot)) throw superseded();
    const outcome = outcomes[index];
    if (outcome === undefined) continue;
    outcome.done = true;
    outcome.revision = BigInt(result.value.revision);
  }
  return create(RetireCredentialResponseSchema, { outcomes });
}

/** A deadline that has passed is now. */
function momentOf({ moment }: RetireCredentialRequest, nowMs: number): RetireWhen {
  if (moment.case === 'onOtherUsed') return moment.value ? 'ON_OTHER_USED' : 'NOW';
  if (moment.case !== 'deadline') return 'NOW';
  const atMs = Math.floor(timestampMs(moment.value));
  return atMs <= nowMs ? 'NOW' : { atMs };
}

/** Nothing is written before every device is known to be there and to take the retirement. */
async function findAll(
  { store }: Ports,
  deviceIds: readonly DeviceId[],
  { slot, when }: Retirement,
): Promise<readonly Found[]> {
  const records = await Promise.all(deviceIds.map((deviceId) => store.read(deviceId)));
  return deviceIds.map((deviceId, index) => {
    const record = existing(records[index], deviceId);
    if (when !== 'NOW') acceptedOf(deviceId, retireLater(record, slot, when));
    return { deviceId, record };
  });
}

function acceptedOf(deviceId: DeviceId, outcome: DeviceState | Refusal): DeviceState {
  if (!isRefusal(outcome)) return outcome;
  try {
    return accepted<DeviceState>(outcome);
  } catch (error) {
    if (error instanceof RpcError) throw new RpcError(error.code, `${deviceId}: ${error.message}`);
    throw error;
  }
}

function outcomeOf(record: DeviceRecord, { slot, when }: Retirement, uses: LastUses): RetireCredentialResponse_Outcome {
  const held = heldIn(record, slot);
  const lastUsedAtMs = held && lastUseOf(held, uses);
  return create(RetireCredentialResponse_OutcomeSchema, {
    deviceId: record.deviceId,
    locksOut: locksOut(record, slot, when),
    ...(lastUsedAtMs === undefined ? {} : { lastUsedAt: timestampFromMs(lastUsedAtMs) }),
    done: false,
    revision: BigInt(record.revision),
  });
}

function planFor(deviceId: DeviceId, { slot, when }: Retirement) {
  return (found: DeviceRecord | undefined): Plan | undefined => {
    const record = existing(found, deviceId);
    const credentialId = heldIn(record, slot)?.credentialId;
    if (when !== 'NOW') {
      const state = acceptedOf(deviceId, retireLater(record, slot, when));
      return state === record ? undefined : { state, kind: 'UPDATED', effect: { close: 'NONE' }, credentialId };
    }
    const state = retire(record, slot);
    if (state === record) return undefined;
    const effect = credentialId === undefined ? ({ close: 'NONE' } as const) : closing(credentialId);
    return { state, kind: 'RETIRED', effect, credentialId };
  };
}

function closing(credentialId: CredentialId) {
  return { close: 'CREDENTIAL', credentialId } as const;
}

/** Does what a repeated request wrote still stand: the credential is gone, or is to retire? */
function holds({ record, replay }: Written, slot: Slot): boolean {
  if (replay === undefined) return true;
  if (record === undefined) return false;
  const { credentialId } = replay;
  if (credentialId === undefined) return contentOf(record, slot).state === 'EMPTY';
  if (record.retirement?.credentialId === credentialId) return true;
  const standing = [slot, otherSlot(slot)].map((known) => heldIn(record, known)?.credentialId);
  return !standing.includes(credentialId);
}
