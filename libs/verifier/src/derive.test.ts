import { DEFAULT_SETTINGS, type PskDerivation, pskSecrets, resetSecret } from '@latchkey/credential';
import { type DeviceId, Secret, systemClock, systemRandom, toRevision } from '@latchkey/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NoDecision, Verifier } from './authenticate.ts';
import { newId, secretDevice } from './test-devices.ts';
import { type HeldStore, holdStore, operate } from './test-store.ts';

const DEVICE = 'P1_866123' as DeviceId;
const NODE = '866123' as DeviceId;
const OLD = 'old-secret-1';
const NEW = 'new-secret-2';
const DERIVATION: PskDerivation = {
  hash: 'sha256',
  seed: { kind: 'RANDOMS', bytes: Buffer.alloc(64, 5) },
  ecdheSecret: new Uint8Array(),
};

let held: HeldStore;
let verifier: Verifier;

beforeEach(async () => {
  held = await holdStore();
  verifier = new Verifier({
    store: held.store,
    clock: systemClock,
    random: systemRandom,
    settings: DEFAULT_SETTINGS,
    maxRecords: 1_000,
  });
});
afterEach(async () => {
  await verifier.close();
  await held.dispose();
});

const register = (secret = OLD, deviceId = DEVICE) =>
  operate(held.inner, deviceId, () => secretDevice(deviceId, secret));
const reset = () =>
  operate(held.inner, DEVICE, (record) => {
    if (record === undefined) throw new Error('no device');
    return resetSecret(record, 'PRIMARY', { credentialId: newId(), secret: new Secret(NEW), nowMs: 1 });
  });
const derive = (...deviceIds: DeviceId[]) => verifier.derivePsk({ deviceIds, derivation: DERIVATION });
/** What a device with this secret has. */
function secretOf(secret: string): Buffer {
  const record = { ...secretDevice(DEVICE, secret), revision: toRevision(1), sessionsClosedAt: toRevision(0) };
  return pskSecrets(record, DERIVATION, { nowMs: 2, settings: DEFAULT_SETTINGS, random: systemRandom }).primary;
}

test('names the first device that is registered, and derives from its secret', async () => {
  await register();
  expect(await derive(DEVICE)).toEqual({ deviceId: DEVICE, primary: secretOf(OLD), secondary: undefined });
  expect(await derive(NODE, DEVICE)).toEqual({ deviceId: DEVICE, primary: secretOf(OLD), secondary: undefined });
  await register(NEW, NODE);
  expect((await derive(NODE, DEVICE)).deviceId).toBe(NODE);
});

test('an identity that names nobody has a secret of its own each time, after the same reads', async () => {
  await register();
  const [one, other] = [await derive(NODE), await derive(NODE)];
  expect([one.deviceId, one.primary.length]).toEqual([undefined, 48]);
  expect(one.primary.equals(other.primary)).toBe(false);
  const before = held.readCount();
  await derive(DEVICE, 'P2_866123' as DeviceId);
  expect(held.readCount()).toBe(before + 2);
});

test('a record that is reset while it is read is not derived from', async () => {
  await register();
  held.reads.shut();
  const derived = derive(DEVICE);
  await expect.poll(() => held.reads.waiting).toBe(1);
  await reset();
  held.reads.open();
  expect((await derived).primary).toEqual(secretOf(NEW));
});

test('nothing is derived without the lease', async () => {
  await register();
  await derive(DEVICE);
  held.lease = [false];
  await expect(derive(DEVICE)).rejects.toThrow(NoDecision);
});
