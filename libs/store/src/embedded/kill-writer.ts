import { writeSync } from 'node:fs';
import { type DeviceId, NO_REVISION, systemClock, systemRandom } from '@latchkey/kernel';
import { deviceOf, id, secretSlot, writeOf, written } from '../contract/fixtures.ts';
import { parseKeyring } from '../keyring.ts';
import type { Store } from '../store.ts';
import { openEmbeddedStore } from './embedded.ts';

// A process to be killed: 32 devices, each written without a pause, one write after the other. The n-th state of a device
// has n as its creation time and in its secret; every write that was acknowledged is printed as `DEVICE N REVISION`.

const STDOUT = 1;

/** The devices that are written. */
export const DEVICES: readonly DeviceId[] = Array.from({ length: 32 }, (_, index) => id(`device-${index}`));

/** The secret in a device's n-th state. */
export function secretOf(deviceId: DeviceId, n: number): string {
  return `${deviceId}-state-${n}`;
}

async function writeOn(store: Store, deviceId: DeviceId): Promise<never> {
  const record = await store.read(deviceId);
  let n = record?.createdAtMs ?? 0;
  let revision = record?.revision ?? NO_REVISION;
  for (;;) {
    n += 1;
    const credentials = {
      kind: 'SECRET',
      format: 'TEXT',
      primary: secretSlot(secretOf(deviceId, n)),
      secondary: { state: 'EMPTY' },
    } as const;
    const state = deviceOf(deviceId, { createdAtMs: n, credentials });
    revision = await written(store, writeOf(deviceId, { state, expectedRevision: revision, kind: 'RESET' }));
    // Synchronous: what was printed is with the parent, whatever becomes of this process.
    writeSync(STDOUT, `${deviceId} ${n} ${revision}\n`);
  }
}

async function main([directory = '', keys = '']: readonly string[]): Promise<void> {
  const keyring = parseKeyring(keys);
  const store = await openEmbeddedStore({ directory, keyring, clock: systemClock, random: systemRandom });
  await Promise.all(DEVICES.map((deviceId) => writeOn(store, deviceId)));
}

if (import.meta.main) await main(process.argv.slice(2));
