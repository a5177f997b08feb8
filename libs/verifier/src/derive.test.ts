import { createHmac } from 'node:crypto';
import { DEFAULT_SETTINGS, type Proof, type PskDerivation, pskSecrets, resetSecret } from '@latchkey/credential';
import { type DeviceId, Secret, systemClock, systemRandom, toRevision } from '@latchkey/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import { newId, secretDevice } from './test-devices.ts';
import { type HeldStore, holdStore, operate } from './test-store.ts';
import { NoDecision } from './waiting.ts';

const DEVICE = 'P1_866123' as DeviceId;
const NODE = '866123' as DeviceId;
const OLD = 'old-secret-1';
const NEW = 'new-secret-2';
const DERIVATION: PskDerivation = {
  hash: 'sha256',
  seed: { kind: 'RANDOMS', bytes: Buffer.alloc(64, 5) },
  ecdheSecret: new Uint8Array(),
};

const OPTIONS = { clock: systemClock, random: systemRandom, settings: DEFAULT_SETTINGS, maxRecords: 1_000 };

let held: HeldStore;
let verifier: Verifier;

beforeEach(async () => {
  held = await holdStore();
  verifier = new Verifier({ ...OPTIONS, store: held.store });
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

/** What a client sends whose handshake has this master secret (RFC 5246 7.4.9). */
function finishOf(master: Buffer): Proof {
  const transcriptHash = Buffer.alloc(32, 6);
  const seed = Buffer.concat([Buffer.from('client finished'), transcriptHash]);
  const mac = (...parts: Buffer[]) => createHmac('sha256', master).update(Buffer.concat(parts)).digest();
  return { kind: 'PSK', derivation: DERIVATION, transcriptHash, verifyData: mac(mac(seed), seed).subarray(0, 12) };
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

test('a handshake takes a try, which a right finish gives back; without one left its secret is of chance', async () => {
  await verifier.close();
  verifier = new Verifier({ ...OPTIONS, store: held.store, failures: { burst: 2, intervalMs: 60_000 } });
  await register();
  const source = '192.0.2.1';
  const hasTry = async (from = source) => {
    const derived = await verifier.derivePsk({ deviceIds: [DEVICE], derivation: DERIVATION, source: from });
    expect(derived.primary.equals(secretOf(OLD))).toBe(derived.deviceId !== undefined);
    return derived.deviceId !== undefined;
  };
  const finish = async (secret: string) => {
    const proof = finishOf(secretOf(secret));
    return (await verifier.authenticate({ deviceId: DEVICE, protocol: 'COAP', proof, source })).decision.granted;
  };
  for (let count = 0; count < 5; count++) expect([await hasTry(), await finish(OLD)]).toEqual([true, true]);
  expect([await hasTry(), await hasTry(), await hasTry()]).toEqual([true, true, false]);
  expect(await finish(NEW)).toBe(false); // a wrong finish gives nothing back
  expect(await hasTry()).toBe(false);
  expect(await finish(OLD)).toBe(true); // of one of the handshakes that had a try
  expect([await hasTry(), await hasTry()]).toEqual([true, false]);
  expect(await hasTry('192.0.2.2')).toBe(true);
});

test('nothing is derived without the lease', async () => {
  await register();
  await derive(DEVICE);
  held.lease = [false];
  await expect(derive(DEVICE)).rejects.toThrow(NoDecision);
});
