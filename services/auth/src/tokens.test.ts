import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { systemRandom } from '@latchkey/kernel';
import {
  type AuthenticateRequest,
  AuthenticateRequestSchema,
  AuthenticationService,
  DenyReason,
  MintTokenRequestSchema,
  Protocol,
  Slot,
} from '@latchkey/protocol/v1';
import { unaryMethod } from '@latchkey/rpc';
import { generateKeyLine, parseKeyring } from '@latchkey/store';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from './config.ts';
import { liveKeyring } from './rotation.ts';
import { attempt, type Clients, clientsOf } from './test-process.ts';
import { keptLog, type Service, STORES, startService } from './test-stores.ts';
import { tokenKeys } from './token-keys.ts';
import { startAuth } from './wire.ts';

const OLD = 'secret-number-1';
const NEW = 'secret-number-2';
const WAIT_MS = 5_000;

let service: Service;
/** Another replica of the service, where the store can have one; else the same. */
let other: Clients;
let logged: () => string;
let stopOther = () => Promise.resolve();
let number = 0;

const given = (value: string) => ({ case: 'secret' as const, value: { value } });
const attemptOf = (deviceId: string, kind: NonNullable<AuthenticateRequest['proof']>['kind']) =>
  create(AuthenticateRequestSchema, { deviceId, protocol: Protocol.HTTPS, proof: { kind } as never });

async function mint(deviceId: string, secret: string, clients = service.clients) {
  const call = unaryMethod(clients.channel, AuthenticationService.method.mintToken, Date.now);
  const request = create(MintTokenRequestSchema, { attempt: attempt(deviceId, secret) });
  return (await call(request, WAIT_MS)).result;
}

async function minted(deviceId: string, secret: string, clients = service.clients): Promise<string> {
  const result = await mint(deviceId, secret, clients);
  if (result.case !== 'minted') throw new Error(`denied: ${result.value?.reason}`);
  return result.value.token;
}

/** What a replica says of a token: granted, or the reason why not. */
async function use(deviceId: string, token: string, clients: Clients): Promise<'GRANTED' | DenyReason> {
  const request = attemptOf(deviceId, { case: 'token', value: { token } as never });
  const { decision } = await clients.authenticate(request, WAIT_MS);
  return decision.case === 'denied' ? decision.value.reason : 'GRANTED';
}
const everywhere = async (deviceId: string, token: string) => [
  await use(deviceId, token, service.clients),
  await use(deviceId, token, other),
];

async function device(): Promise<string> {
  number += 1;
  const deviceId = `pump_${number}`;
  await service.clients.devices.createDevice({ deviceId, primary: given(OLD) });
  return deviceId;
}

async function startOther(): Promise<void> {
  other = service.clients;
  logged = service.logged;
  if (service.redis === undefined) return;
  const dataDir = join(service.dataDir, 'other');
  mkdirSync(dataDir);
  const keys = ['--key-file', join(service.dataDir, 'sealing.key')];
  const places = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--store', service.redis.url];
  const kept = keptLog();
  const running = await startAuth(readConfig(['--data-dir', dataDir, ...keys, ...places], undefined), kept.log);
  const { grpc, admin } = running.ready as { grpc: string; admin: string };
  other = clientsOf({ grpc, admin }, undefined);
  logged = () => service.logged() + kept.logged();
  stopOther = async () => {
    other.channel.close();
    await running.stop();
  };
}

describe.each(STORES)('over the %s store', (kind) => {
  beforeAll(async () => {
    service = await startService(kind);
    await startOther();
  });
  afterAll(async () => {
    await stopOther();
    stopOther = () => Promise.resolve();
    await service.stop();
  });

  test('a token of one replica is good at every replica, and only for its device', async () => {
    const [deviceId, neighbour] = [await device(), await device()];
    const result = await mint(deviceId, OLD);
    if (result.case !== 'minted') throw new Error('denied');
    const { token, granted } = result.value;
    expect(token).toMatch(/^[A-Za-z0-9_-]{84}$/);
    expect(granted).toMatchObject({ slot: Slot.PRIMARY, activatedNow: true });
    const expiresAt = granted?.expiresAt;
    const leftMs = (expiresAt === undefined ? 0 : timestampMs(expiresAt)) - Date.now();
    expect(Math.round(leftMs / 60_000)).toBe(24 * 60);
    expect(await everywhere(deviceId, token)).toEqual(['GRANTED', 'GRANTED']);
    expect(await everywhere(neighbour, token)).toEqual([DenyReason.TOKEN_INVALID, DenyReason.TOKEN_INVALID]);
    expect(await everywhere('nobody', token)).toEqual([DenyReason.UNKNOWN_DEVICE, DenyReason.UNKNOWN_DEVICE]);
    expect(await everywhere(deviceId, 'd144a524-1997-4b99-94bf-f27128da8a34')).toEqual([
      DenyReason.TOKEN_INVALID,
      DenyReason.TOKEN_INVALID,
    ]);
    expect(await everywhere(deviceId, await minted(deviceId, OLD, other))).toEqual(['GRANTED', 'GRANTED']);
    expect(await everywhere(deviceId, token)).toEqual(['GRANTED', 'GRANTED']);
  });

  const { FREEZE, DELETE, RESET, RETIRE, FORCE } = {
    FREEZE: (deviceId: string) => service.clients.devices.freezeDevice({ deviceId }),
    DELETE: (deviceId: string) => service.clients.devices.deleteDevice({ deviceId }),
    RESET: (deviceId: string) =>
      service.clients.credentials.resetCredential({ deviceId, slot: Slot.PRIMARY, credential: given(NEW) }),
    RETIRE: (deviceId: string) =>
      service.clients.credentials.retireCredential({ deviceIds: [deviceId], slot: Slot.PRIMARY, execute: true }),
    FORCE: (deviceId: string) =>
      service.clients.credentials.resetCredential({
        ...{ deviceId, slot: Slot.SECONDARY, credential: given(NEW), forceDisconnect: true },
      }),
  };

  test.each<readonly [string, (deviceId: string) => Promise<unknown>, DenyReason]>([
    ['a freeze', FREEZE, DenyReason.FROZEN],
    ['a deletion', DELETE, DenyReason.UNKNOWN_DEVICE],
    ['a reset of its slot', RESET, DenyReason.TOKEN_REVOKED],
    ['a retirement of its slot', RETIRE, DenyReason.TOKEN_REVOKED],
    ['a forced disconnect with a reset of the other slot', FORCE, DenyReason.TOKEN_REVOKED],
  ])('once %s has answered, no replica grants on a token of before', async (_name, take, reason) => {
    const deviceId = await device();
    const tokens = [await minted(deviceId, OLD), await minted(deviceId, OLD, other)];
    for (const token of tokens) expect(await everywhere(deviceId, token)).toEqual(['GRANTED', 'GRANTED']);
    await take(deviceId);
    for (const token of tokens) expect(await everywhere(deviceId, token)).toEqual([reason, reason]);
  });

  test('a reset of the other slot and a promotion leave a token as it is', async () => {
    const deviceId = await device();
    const token = await minted(deviceId, OLD);
    const { credentials } = service.clients;
    await credentials.resetCredential({ deviceId, slot: Slot.SECONDARY, credential: given(NEW) });
    await credentials.promoteSecondary({ deviceId });
    expect(await everywhere(deviceId, token)).toEqual(['GRANTED', 'GRANTED']);
  });

  test('a wrong secret, an unknown device and a frozen one get no token', async () => {
    const deviceId = await device();
    expect(await mint(deviceId, NEW)).toMatchObject({ value: { reason: DenyReason.SECRET_MISMATCH } });
    expect(await mint('nobody', OLD)).toMatchObject({ value: { reason: DenyReason.UNKNOWN_DEVICE } });
    await service.clients.devices.freezeDevice({ deviceId });
    expect(await mint(deviceId, OLD)).toMatchObject({ case: 'denied', value: { reason: DenyReason.FROZEN } });
  });

  test('a token is not made of a token, of a certificate, or of nothing', async () => {
    const call = unaryMethod(service.clients.channel, AuthenticationService.method.mintToken, Date.now);
    const deviceId = await device();
    const token = await minted(deviceId, OLD);
    const attempts = [
      attemptOf(deviceId, { case: 'token', value: { token } as never }),
      attemptOf(deviceId, { case: 'fingerprint', value: { fingerprint: 'ab'.repeat(20) } as never }),
      undefined,
    ];
    for (const attempted of attempts) {
      const request = create(MintTokenRequestSchema, attempted === undefined ? {} : { attempt: attempted });
      await expect(call(request, WAIT_MS)).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: expect.stringMatching(/^attempt/),
      });
    }
  });

  test('no token lies in a log or a metric', async () => {
    const deviceId = await device();
    const token = await minted(deviceId, OLD);
    await service.clients.devices.freezeDevice({ deviceId });
    await everywhere(deviceId, token);
    await use('no id!', token, other).catch(() => undefined);
    const metrics = await (await fetch(`${service.admin}/metrics`)).text();
    expect(logged()).toContain('"reason":"FROZEN"');
    expect(metrics).toMatch(/latchkey_decisions_total\{outcome="token_revoked"[^}]*\} [1-9]/);
    for (const place of [logged(), metrics]) expect(place).not.toContain(token.slice(10));
  });
});

test('tokens outlive a rotation of the sealing keys, until their key is taken out', () => {
  const [k1, k2] = [generateKeyLine('k1', systemRandom), generateKeyLine('k2', systemRandom)];
  const live = liveKeyring(parseKeyring(k1));
  const keys = tokenKeys(live.keyring);
  const before = keys();
  expect(keys()).toBe(before);
  live.replace(parseKeyring(`${k2}\n${k1}`));
  expect(keys().current).not.toBe(before.current);
  expect(keys().byReference.has(before.current)).toBe(true);
  live.replace(parseKeyring(k2));
  expect(keys().byReference.has(before.current)).toBe(false);
});
