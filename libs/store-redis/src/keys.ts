import type { DeviceId } from '@latchkey/kernel';

/** Hash tags that devices are spread over; one log each. */
export const SHARDS = 1;

const TAG = '{0}';

/** The hash tag of a device: its record, log, index rows and replays carry it, so one function may touch them all. */
export function tagOf(_deviceId: DeviceId): string {
  return TAG;
}

/** Says which store this is: written once, looked at by every connection. */
export const STORE_KEY = 'lk:store';

/** The log of all devices. */
export const LOG_KEY = `lk:${TAG}:log`;

/** Sorted set of the replicas that may have a lease, by the position that each last reported. */
export const MEMBERS_KEY = `lk:${TAG}:members`;

/** Hash of members that seem gone, with the token of who suspects them. */
export const SUSPECTS_KEY = `lk:${TAG}:suspects`;

/** Sorted set of all device ids, for pages in their order. */
export const IDS_KEY = `lk:${TAG}:ids`;

/** Sorted set of the devices that wait for their activation, by its deadline in ms. */
export const OVERDUE_KEY = `lk:${TAG}:overdue`;

/** Where a device's record lies. */
export function recordKey(deviceId: DeviceId): string {
  return `lk:${tagOf(deviceId)}:d:${deviceId}`;
}

/** Where the answer to a repeated write lies. A device id has no colon, so no two pairs share a key. */
export function replayKey(deviceId: DeviceId, key: string): string {
  return `lk:${tagOf(deviceId)}:r:${deviceId}:${key}`;
}

/** Where a kept value lies. */
export function keptKey(name: string): string {
  return `lk:${TAG}:k:${name}`;
}

/** The channel of a store's changes. Channels know no database number, so the store's id is part of it. */
export function channelOf(storeId: string): string {
  return `lk:${TAG}:changes:${storeId}`;
}
