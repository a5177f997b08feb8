import { createHmac } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { DeviceId } from '@latchkey/kernel';
import {
  AuthenticateRequestSchema,
  AuthenticationService,
  DenyReason,
  DerivePskSecretRequestSchema,
  Protocol,
  PskPrf,
  SecretFormat,
  Slot,
} from '@latchkey/protocol/v1';
import { unaryMethod } from '@latchkey/rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { namedBy } from './psk.ts';
import { type Service, startService } from './test-stores.ts';

describe('an identity', () => {
  const named = (identity: string | Uint8Array, ...products: string[]): readonly string[] =>
    namedBy(typeof identity === 'string' ? Buffer.from(identity) : identity, products);

  test.each<[string, string[], string[]]>([
    ['pump_7', [], ['pump_7']],
    ['866123', ['P1', 'P2'], ['866123', 'P1_866123', 'P2_866123']],
    ['urn:imei:866123', ['P1'], ['866123', 'P1_866123']],
    ['urn:imei:', ['P1'], ['P1_']],
    ['urn:uuid:866123', ['P1'], []],
    ['pump 7', ['P1'], []],
    ['pümp', [], []],
    ['x'.repeat(128), ['P1'], ['x'.repeat(128)]],
    ['x'.repeat(129), ['P1'], []],
  ])('%s among the products %j names %j', (identity, products, ids) => {
    expect(named(identity, ...products)).toEqual(ids);
  });

  test('of bytes that are no text names nobody', () => {
    expect(named(new Uint8Array([0x61, 0xff]))).toEqual([]);
    expect(named(new Uint8Array([0x61, 0]))).toEqual([]);
  });
});

const SECRET = 'first-secret-1';
const SECOND = 'second-secret-2';
const TRANSCRIPT = Buffer.alloc(32, 6);

/** P_SHA256 of RFC 5246, for up to 64 bytes. */
function prf(secret: Uint8Array, label: string, seed: Uint8Array, bytes: number): Buffer {
  const hmac = (...parts: Uint8Array[]) => {
    const mac = createHmac('sha256', secret);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const all = Buffer.concat([Buffer.from(label), seed]);
  const first = hmac(all);
  const second = hmac(first);
  return Buffer.concat([hmac(first, all), hmac(second, all)]).subarray(0, bytes);
}

const RANDOMS = Buffer.alloc(64, 5);
/** What a device with this key derives by itself (RFC 4279 2). */
function ownMaster(key: Uint8Array): Buffer {
  const length = Buffer.from([0, key.length]);
  return prf(Buffer.concat([length, Buffer.alloc(key.length), length, key]), 'master secret', RANDOMS, 48);
}

const derivationOf = (identity: string) => ({
  identity: Buffer.from(identity),
  prf: PskPrf.SHA256,
  seed: { case: 'randoms' as const, value: RANDOMS },
});

let service: Service;
let open: Service;
beforeAll(async () => {
  service = await startService('embedded');
  open = await startService('embedded', '--coap-accept-secondary', '--coap-products', 'P1,P2');
  for (const { clients } of [service, open]) {
    const primary = { case: 'secret' as const, value: { value: SECRET } };
    for (const deviceId of ['pump_7', 'P2_866123']) {
      await clients.devices.createDevice({ deviceId, primary });
      await clients.credentials.resetCredential({
        ...{ deviceId, slot: Slot.SECONDARY },
        credential: { case: 'secret', value: { value: SECOND } },
      });
    }
  }
});
afterAll(() => Promise.all([service.stop(), open.stop()]));

function derive({ clients }: Service, identity: string, change: object = {}) {
  const call = unaryMethod(clients.channel, AuthenticationService.method.derivePskSecret, Date.now);
  return call(create(DerivePskSecretRequestSchema, { derivation: { ...derivationOf(identity), ...change } }), 5_000);
}

/** The grant that a gateway asks for once the client's Finished has come. */
async function finish({ clients }: Service, deviceId: string, master: Uint8Array) {
  const verifyData = prf(master, 'client finished', TRANSCRIPT, 12);
  const value = { derivation: derivationOf(deviceId), transcriptHash: TRANSCRIPT, verifyData };
  const request: MessageInitShape<typeof AuthenticateRequestSchema> = {
    ...{ deviceId, protocol: Protocol.COAP, proof: { kind: { case: 'psk', value } } },
  };
  return (await clients.authenticate(create(AuthenticateRequestSchema, request), 5_000)).decision;
}

const DENIED = (reason: DenyReason) => ({ case: 'denied', value: { reason } });

test('a device and its gateway come to the same secret, and its finish is granted', async () => {
  const derived = await derive(service, 'pump_7');
  expect(derived).toMatchObject({ deviceId: 'pump_7', secondaryMasterSecret: new Uint8Array() });
  expect(Buffer.from(derived.masterSecret)).toEqual(ownMaster(Buffer.from(SECRET)));
  const granted = { case: 'granted', value: { slot: Slot.PRIMARY } };
  expect(await finish(service, 'pump_7', ownMaster(Buffer.from(SECRET)))).toMatchObject(granted);
});

test('only the primary counts, unless told otherwise', async () => {
  const second = ownMaster(Buffer.from(SECOND));
  expect(await finish(service, 'pump_7', second)).toMatchObject(DENIED(DenyReason.SECONDARY_NOT_ACCEPTED));
  expect(Buffer.from((await derive(open, 'pump_7')).secondaryMasterSecret)).toEqual(second);
  const granted = { case: 'granted', value: { slot: Slot.SECONDARY } };
  expect(await finish(open, 'pump_7', second)).toMatchObject(granted);
});

test('a node id names the device of a product that is set, and a secret in hex is decoded', async () => {
  expect((await derive(service, '866123')).deviceId).toBe('');
  expect((await derive(open, 'urn:imei:866123')).deviceId).toBe('P2_866123');
  const value = '00112233445566778899aabbccddeeff';
  const primary = { case: 'secret' as const, value: { value } };
  await open.clients.devices.createDevice({ deviceId: 'P1_nb', primary, secretFormat: SecretFormat.HEX });
  expect(Buffer.from((await derive(open, 'nb')).masterSecret)).toEqual(ownMaster(Buffer.from(value, 'hex')));
});

test('an identity that names nobody gets a secret of chance, each time another', async () => {
  const [one, other, odd] = await Promise.all([derive(open, 'ghost'), derive(open, 'ghost'), derive(open, '\0\xff')]);
  for (const derived of [one, other, odd]) {
    expect(derived.deviceId).toBe('');
    expect([derived.masterSecret.length, derived.secondaryMasterSecret.length]).toEqual([48, 48]);
  }
  expect(Buffer.from(one.masterSecret).equals(other.masterSecret)).toBe(false);
});

test('a reset counts from its answer on', async () => {
  const { clients } = service;
  const deviceId = 'valve_1';
  await clients.devices.createDevice({ deviceId, primary: { case: 'secret', value: { value: SECRET } } });
  const old = ownMaster(Buffer.from(SECRET));
  expect((await finish(service, deviceId, old)).case).toBe('granted');
  const credential = { case: 'secret' as const, value: { value: SECOND } };
  await clients.credentials.resetCredential({ deviceId, slot: Slot.PRIMARY, credential });
  expect(await finish(service, deviceId, old)).toMatchObject(DENIED(DenyReason.SECRET_MISMATCH));
  expect(Buffer.from((await derive(service, deviceId)).masterSecret)).toEqual(ownMaster(Buffer.from(SECOND)));
});

test.each([
  ['no identity', { identity: new Uint8Array() }],
  ['randoms that are too short', { seed: { case: 'randoms', value: RANDOMS.subarray(1) } }],
  ['no seed', { seed: { case: undefined } }],
  ['an exchange that is too long', { ecdheSecret: new Uint8Array(67) }],
])('a request with %s is refused', async (_what, change) => {
  await expect(derive(service, 'pump_7', change)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
});

test('no secret comes into the log', async () => {
  expect((await derive(service, 'nobody' as DeviceId)).deviceId).toBe('');
  const logged = service.logged();
  expect(logged).toContain('a DTLS identity names no device');
  for (const secret of [SECRET, SECOND]) {
    expect(logged).not.toContain(secret);
    expect(logged).not.toContain(ownMaster(Buffer.from(secret)).toString('hex'));
    expect(logged).not.toContain(ownMaster(Buffer.from(secret)).toString('base64'));
  }
});
