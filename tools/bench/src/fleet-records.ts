import { isRefusal, resetSecret } from '@latchkey/credential';
import {
  CREDENTIAL_ID_BYTES,
  type DeviceId,
  NO_REVISION,
  type Random,
  Secret,
  systemClock,
  systemRandom,
  toCredentialId,
  toRevision,
} from '@latchkey/kernel';
import { type Keyring, packState, withHeader } from '@latchkey/store';
import { deviceIdOf, secretOf } from './devices.ts';
import { newState } from './record-source.ts';

/** Devices that are packed at a time: a few hundred KB. */
const BATCH = 1_000;

/** Drawn at once: asking the system for 12 bytes costs more than sealing a record. */
const POOL_BYTES = 65_536;

/** Apart from every index of a device, so that no secret is used twice. */
const SECONDARY = 1e12;

/** A device as a store keeps it. */
export type PackedDevice = { readonly deviceId: DeviceId; readonly record: Uint8Array };

/** Devices from index `from` to below `to`. */
export type Range = { readonly from: number; readonly to: number };

/** A bulk load of devices into one store. */
export type Load = {
  /** Writes records, in the order of their ids. */
  readonly put: (devices: readonly PackedDevice[]) => Promise<void>;
  /** Writes what stands beside the records of the range, and ends the load. */
  readonly finish: (range: Range) => Promise<void>;
};

/** Makes the devices of a range, which follows the one before, and puts them into all of the stores. */
export async function growFleets(
  range: Range,
  keyring: Keyring,
  fleets: readonly { readonly begin: () => Promise<Load> }[],
): Promise<void> {
  const loads = await Promise.all(fleets.map((fleet) => fleet.begin()));
  let last: Promise<unknown> | undefined;
  for (const devices of packedDevices(range, keyring)) {
    await last; // one batch is written while the next one is made
    last = Promise.all(loads.map((load) => load.put(devices)));
  }
  await last;
  for (const load of loads) await load.finish(range);
}

/**
 * Devices in use with two secrets each, sealed and packed by the store's own codec, in batches and in the order of their
 * ids. The primary secret of each is that of `secretOf`. A device's revision is its index and one: the place of its
 * creation in a log that began with the fleet.
 */
export function* packedDevices({ from, to }: Range, keyring: Keyring): Generator<readonly PackedDevice[]> {
  const random = pooledRandom();
  const make = stateMaker(random);
  const pack = (index: number) => {
    const state = make(index);
    const body = packState(state, keyring, random);
    return { deviceId: state.deviceId, record: withHeader(body, toRevision(index + 1), NO_REVISION) };
  };
  for (let first = from; first < to; first += BATCH) {
    yield Array.from({ length: Math.min(BATCH, to - first) }, (_, offset) => pack(first + offset));
  }
}

/** One state is made by the rules; the others are like it, but for what tells devices apart. */
function stateMaker(random: Random) {
  const nowMs = systemClock.now();
  const newId = () => toCredentialId(random(CREDENTIAL_ID_BYTES));
  const first = newState(deviceIdOf(0), secretOf(0));
  const model = resetSecret(first, 'SECONDARY', {
    credentialId: newId(),
    secret: new Secret(secretOf(SECONDARY)),
    nowMs,
  });
  if (isRefusal(model)) throw new Error(`a device that cannot be: ${model.refused}`);
  const { credentials } = model;
  if (credentials.kind !== 'SECRET') throw new TypeError('the model has no secrets');
  const { primary, secondary } = credentials;
  if (primary.state !== 'SET' || secondary.state !== 'SET') throw new TypeError('the model lacks a secret');
  return (index: number) => ({
    ...model,
    deviceId: deviceIdOf(index),
    credentials: {
      ...credentials,
      primary: { ...primary, credentialId: newId(), secret: new Secret(secretOf(index)) },
      secondary: { ...secondary, credentialId: newId(), secret: new Secret(secretOf(SECONDARY + index)) },
    },
  });
}

/** The system's chance, drawn in large pieces; a piece is given away once. */
function pooledRandom(): Random {
  let [pool, at] = [systemRandom(POOL_BYTES), 0];
  return (bytes) => {
    if (at + bytes > pool.length) [pool, at] = [systemRandom(POOL_BYTES), 0];
    at += bytes;
    return pool.subarray(at - bytes, at);
  };
}
