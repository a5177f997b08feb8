import { hash } from 'node:crypto';
import { digestOf } from '@latchkey/credential';
import { type DeviceId, parseDeviceId } from '@latchkey/kernel';

const HOUR_CHARACTERS = 10;

/** 20 characters, unique by index. */
export function deviceIdOf(index: number): DeviceId {
  const deviceId = parseDeviceId(`bench-dev-${String(index).padStart(10, '0')}`);
  if (deviceId === undefined) throw new RangeError(`not an index: ${index}`);
  return deviceId;
}

/** 32 characters, always the same for an index, so that no table of secrets is needed. */
export function secretOf(index: number): string {
  return hash('sha256', `bench secret ${index}`, 'base64url').slice(0, 32);
}

/** This hour as devices write it: YYYYMMDDHH in UTC. */
export function timestampOf(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[-T:]/g, '').slice(0, HOUR_CHARACTERS);
}

/** What the device sends with sign type 1, whose time is checked. */
export function proofOf(index: number, timestamp: string) {
  return { signType: 1, timestamp, password: digestOf(1, timestamp, secretOf(index)) } as const;
}
