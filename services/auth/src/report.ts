import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type DeviceRecord,
  heldIn,
  type LastUses,
  lastUseOf,
  type Slot,
  safeToRetire,
  standingAt,
} from '@latchkey/credential';
import {
  type GetRotationReportRequest,
  type GetRotationReportResponse,
  type GetRotationReportResponse_DeviceRotation,
  GetRotationReportResponse_DeviceRotationSchema,
  type GetRotationReportResponse_SlotUse,
  GetRotationReportResponse_SlotUseSchema,
  GetRotationReportResponseSchema,
  Slot as SlotNumber,
} from '@latchkey/protocol/v1';
import { toCredential } from './convert.ts';
import { readPageToken } from './devices.ts';
import type { Ports } from './ports.ts';
import { readDeviceId } from './question.ts';
import { existing } from './request.ts';

/** Devices a page when the request does not say. */
const PAGE_SIZE = 100;

/** Which credentials devices really use, of one device or by pages. */
export async function rotationReport(
  ports: Ports,
  request: GetRotationReportRequest,
): Promise<GetRotationReportResponse> {
  // What was used before the report and is not in it would be taken for unused.
  await ports.verifier.tellUses();
  const { records, next } = await pageOf(ports, request);
  const uses = await ports.store.lastUses(records.map(({ deviceId }) => deviceId));
  return create(GetRotationReportResponseSchema, {
    devices: records.map((record) => toRotation(ports, record, uses)),
    nextPageToken: next ?? '',
  });
}

async function pageOf({ store }: Ports, { deviceId, pageSize, pageToken }: GetRotationReportRequest) {
  if (deviceId !== '') {
    return { records: [existing(await store.read(readDeviceId(deviceId)), deviceId)], next: undefined };
  }
  const limit = pageSize === 0 ? PAGE_SIZE : pageSize;
  return store.list({ after: readPageToken(pageToken), prefix: '', limit });
}

function toRotation(
  { clock, quietMs }: Ports,
  found: DeviceRecord,
  uses: LastUses,
): GetRotationReportResponse_DeviceRotation {
  const nowMs = clock.now();
  const record = standingAt(found, nowMs);
  const safe = safeToRetire(record, uses, { nowMs, quietMs });
  const slots: readonly Slot[] = ['PRIMARY', 'SECONDARY'];
  return create(GetRotationReportResponse_DeviceRotationSchema, {
    deviceId: record.deviceId,
    slots: slots.map((slot) => toSlotUse(record, slot, uses)),
    safeToRetire: safe === undefined ? SlotNumber.UNSPECIFIED : SlotNumber[safe],
  });
}

function toSlotUse(record: DeviceRecord, slot: Slot, uses: LastUses): GetRotationReportResponse_SlotUse {
  const held = heldIn(record, slot);
  const use = create(GetRotationReportResponse_SlotUseSchema, { credential: toCredential(record, slot) });
  const lastUsedAtMs = held && lastUseOf(held, uses);
  if (held?.firstUsedAtMs !== undefined) use.firstUsedAt = timestampFromMs(held.firstUsedAtMs);
  if (lastUsedAtMs !== undefined) use.lastUsedAt = timestampFromMs(lastUsedAtMs);
  return use;
}
