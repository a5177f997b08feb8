import { type PskDerivation, type PskSecrets, pskSecrets, type VerifySettings } from '@latchkey/credential';
import type { Clock, DeviceId, Random } from '@latchkey/kernel';
import type { Lease } from '@latchkey/store';
import type { Records, Sighting } from './records.ts';

/** One DTLS handshake. */
export type Handshake = {
  /** Whom its identity may name, the likeliest first, at least one: the first that is registered is meant. */
  readonly deviceIds: readonly DeviceId[];
  readonly derivation: PskDerivation;
  /** The device's network address; absent or empty: its handshakes have no budget. */
  readonly source?: string;
};

/** What a gateway needs to go on with a handshake. It grants nothing: the grant is a decision on a PSK proof. */
export type Derived = PskSecrets & {
  /** Undefined: the identity names no device. */
  readonly deviceId: DeviceId | undefined;
};

/** What a derivation needs. */
export type DeriveOptions = {
  readonly records: Records;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: VerifySettings;
  /** Takes one try of the device's; false: there is none left. */
  readonly spend: (deviceId: DeviceId) => boolean;
  /** Waits for the lease. Rejects when it is not to be had in time. */
  readonly waitForLease: (deviceId: DeviceId) => Promise<void>;
  /** How often a record is looked at anew that changed meanwhile. */
  readonly maxAttempts: number;
};

/**
 * The master secrets of a handshake, which takes one of the device's tries until its finish is granted; undefined: the
 * device changes faster than it can be looked at. It is made under the
 * lease, like a decision: with an old record, a device that has its new secret would be turned away as if it were wrong.
 */
export async function derive(
  { deviceIds, derivation }: Handshake,
  options: DeriveOptions,
): Promise<Derived | undefined> {
  let device: Sighting['record'];
  for (const deviceId of deviceIds) {
    const sighting = await currentSighting(deviceId, options);
    if (sighting === undefined) return undefined;
    device ??= sighting.record; // the others are read as well: time tells nothing of which there are
  }
  const { clock, random, settings, spend } = options;
  // With a secret of chance the handshake fails as with a wrong key: whether a guess was right is not told.
  const known = device !== undefined && spend(device.deviceId) ? device : undefined;
  const secrets = pskSecrets(known, derivation, { nowMs: clock.now(), settings, random });
  return { ...secrets, deviceId: known?.deviceId };
}

async function currentSighting(deviceId: DeviceId, options: DeriveOptions): Promise<Sighting | undefined> {
  const { records, lease, waitForLease, maxAttempts } = options;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    if (!lease.holds(deviceId)) await waitForLease(deviceId);
    const sighting = records.cached(deviceId) ?? (await records.read(deviceId));
    if (lease.holds(deviceId) && records.isCurrent(sighting)) return sighting;
  }
  return undefined;
}
