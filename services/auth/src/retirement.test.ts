import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  AuthenticateRequestSchema,
  AuthenticationService,
  type Credential,
  type Granted,
  Protocol,
  SessionStanding,
  Slot,
  SlotState,
} from '@latchkey/protocol/v1';
import { unaryMethod } from '@latchkey/rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Service, STORES, startService } from './test-stores.ts';

const OLD = 'secret-number-1';
const NEW = 'secret-number-2';
const DAY_MS = 86_400_000;
const WAIT_MS = 5_000;

let service: Service;
let number = 0;

async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  );
  const { code, rawMessage } = ConnectError.from(error);
  return `${Code[code]}: ${rawMessage}`;
}

async function decide(deviceId: string, secret: string) {
  const proof = { kind: { case: 'secret' as const, value: { secret } } };
  const request = create(AuthenticateRequestSchema, { deviceId, protocol: Protocol.MQTT, proof });
  return (await service.clients.authenticate(request, WAIT_MS)).decision;
}

async function granted(deviceId: string, secret: string): Promise<Granted> {
  const decision = await decide(deviceId, secret);
  if (decision.case !== 'granted') throw new Error(`denied: ${decision.value?.reason}`);
  return decision.value;
}

/** A device whose primary is in use, and whose secondary was set after it and is not used yet. */
async function rotating(): Promise<string> {
  number += 1;
  const deviceId = `pump_${number}`;
  const given = (value: string) => ({ case: 'secret' as const, value: { value } });
  await service.clients.devices.createDevice({ deviceId, primary: given(OLD) });
  await granted(deviceId, OLD);
  await service.clients.credentials.resetCredential({ deviceId, slot: Slot.SECONDARY, credential: given(NEW) });
  return deviceId;
}

const retire = (deviceIds: readonly string[], more = {}) =>
  service.clients.credentials.retireCredential({ deviceIds: [...deviceIds], slot: Slot.PRIMARY, ...more });
const device = async (deviceId: string) => (await service.clients.devices.getDevice({ deviceId })).device;
const state = async (deviceId: string) => (await device(deviceId))?.primary?.state;
const report = async (deviceId: string) => {
  const { devices } = await service.clients.credentials.getRotationReport({ deviceId });
  if (devices[0] === undefined) throw new Error('the report has the device');
  return devices[0];
};
const check = async (...sessions: { deviceId: string; credentialId: string; revision: bigint }[]) => {
  const call = unaryMethod(service.clients.channel, AuthenticationService.method.checkSessions, Date.now);
  const request = create(AuthenticationService.method.checkSessions.input, { sessions });
  return (await call(request, WAIT_MS)).standings.map((standing) => standing === SessionStanding.GOOD);
};

describe.each(STORES)('over the %s store', (kind) => {
  beforeAll(async () => {
    service = await startService(kind, '--quiet-hours', '0');
  });
  afterAll(() => service.stop());

  test('without execute it says who would be locked out, and changes nothing', async () => {
    const [ready, unready] = [await rotating(), await rotating()];
    await granted(ready, NEW);
    const { outcomes } = await retire([unready, ready]);
    expect(outcomes.map(({ deviceId, locksOut, done }) => [deviceId, locksOut, done])).toEqual([
      [unready, true, false],
      [ready, false, false],
    ]);
    expect(outcomes.every(({ lastUsedAt }) => lastUsedAt !== undefined)).toBe(true);
    expect(outcomes[1]?.revision).toBe((await device(ready))?.revision);
    expect([await state(ready), await state(unready)]).toEqual([SlotState.SET, SlotState.SET]);
    const dry = await retire([ready], { moment: { case: 'onOtherUsed', value: true } });
    expect(dry.outcomes[0]?.locksOut).toBe(false);
  });

  test('once a retirement has answered, the secret is refused, and only its sessions have ended', async () => {
    const deviceId = await rotating();
    const sessions = [await granted(deviceId, OLD), await granted(deviceId, NEW)].map((grant) => ({
      deviceId,
      credentialId: grant.credentialId,
      revision: grant.revision,
    }));
    expect(await check(...sessions)).toEqual([true, true]);
    const { outcomes } = await retire([deviceId], { execute: true });
    expect(outcomes[0]).toMatchObject({ deviceId, locksOut: false, done: true });
    expect((await decide(deviceId, OLD)).case).toBe('denied');
    expect((await decide(deviceId, NEW)).case).toBe('granted');
    expect(await check(...sessions)).toEqual([false, true]);
    const again = await retire([deviceId], { execute: true });
    expect(again.outcomes[0]).toMatchObject({ done: true, locksOut: false, revision: outcomes[0]?.revision });
  });

  test('the last usable credential goes too when it is told to, and that is told', async () => {
    const deviceId = await rotating();
    const { outcomes } = await retire([deviceId], { execute: true });
    expect(outcomes[0]).toMatchObject({ locksOut: true, done: true });
    expect((await decide(deviceId, OLD)).case).toBe('denied');
  });

  test('many devices, one of them unknown: nothing is written at all', async () => {
    const deviceId = await rotating();
    expect(await refusal(retire([deviceId, 'nobody'], { execute: true }))).toBe('NotFound: there is no device nobody');
    expect(await state(deviceId)).toBe(SlotState.SET);
    const more = await Promise.all(Array.from({ length: 20 }, rotating));
    const { outcomes } = await retire([...more, ...more.slice(0, 1)], { execute: true });
    expect(outcomes.map((outcome) => outcome.deviceId)).toEqual([...more, more[0]]);
    expect(outcomes.every(({ done }) => done)).toBe(true);
    expect(await Promise.all(more.map(state))).toEqual(more.map(() => SlotState.EMPTY));
  });

  test('an expected revision is for one device, and holds also without execute', async () => {
    const [one, two] = [await rotating(), await rotating()];
    const expectedRevision = (await device(one))?.revision;
    expect(await refusal(retire([one, two], { expectedRevision }))).toMatch(/^InvalidArgument: expected_revision/);
    await granted(one, NEW);
    expect(await refusal(retire([one], { expectedRevision }))).toMatch(/^Aborted: expected_revision/);
    expect(await refusal(retire([one], { expectedRevision, execute: true }))).toMatch(/^Aborted: expected_revision/);
    const now = (await device(one))?.revision;
    expect((await retire([one], { expectedRevision: now, execute: true })).outcomes[0]?.done).toBe(true);
  });

  test('a repeated request answers the same revision, until its slot is set anew', async () => {
    const [one, two] = [await rotating(), await rotating()];
    const request = { execute: true, requestId: randomUUID() };
    const first = await retire([one, two], request);
    await granted(one, NEW);
    const again = await retire([one, two], request);
    expect(again.outcomes.map(({ revision }) => revision)).toEqual(first.outcomes.map(({ revision }) => revision));
    expect(await refusal(retire([two, one], request))).toMatch(/^InvalidArgument: request_id/);
    await service.clients.devices.deleteDevice({ deviceId: two });
    expect(await refusal(retire([one, two], request))).toMatch(/^NotFound/);
    expect((await retire([one], { execute: true })).outcomes[0]?.done).toBe(true);
  });

  test('a deadline is shown, told with each grant, and kept to the moment', async () => {
    const deviceId = await rotating();
    const deadlineMs = Date.now() + 1_500;
    const moment = { case: 'deadline' as const, value: timestampFromMs(deadlineMs) };
    const request = { moment, execute: true, requestId: randomUUID() };
    const { outcomes } = await retire([deviceId], request);
    expect(outcomes[0]).toMatchObject({ locksOut: true, done: true });
    expect((await retire([deviceId], request)).outcomes[0]?.revision).toBe(outcomes[0]?.revision);
    expect((await device(deviceId))?.primary?.retiresAt).toEqual(timestampFromMs(deadlineMs));
    const grant = await granted(deviceId, OLD);
    expect(grant.expiresAt).toEqual(timestampFromMs(deadlineMs));
    expect((await granted(deviceId, NEW)).expiresAt).toBeUndefined();
    expect(await refusal(retire([deviceId], { ...request, requestId: '', slot: Slot.SECONDARY }))).toBe(
      `FailedPrecondition: ${deviceId}: the credential of the other slot retires already; reset that slot, or retire it at once, to end its retirement`,
    );
    await wait(deadlineMs - Date.now());
    expect((await decide(deviceId, OLD)).case).toBe('denied');
    expect(await check({ deviceId, ...sessionOf(grant) })).toEqual([false]);
    // The next write begins from what counts: the secondary is all there is.
    const { device: promoted } = await service.clients.credentials.promoteSecondary({ deviceId });
    expect([promoted?.primary?.state, promoted?.secondary?.state]).toEqual([SlotState.SET, SlotState.EMPTY]);
    expect((await decide(deviceId, NEW)).case).toBe('granted');
  });

  test('a deadline in the past is now', async () => {
    const deviceId = await rotating();
    const moment = { case: 'deadline' as const, value: timestampFromMs(Date.now() - DAY_MS) };
    await retire([deviceId], { moment, execute: true });
    expect(await state(deviceId)).toBe(SlotState.EMPTY);
  });

  test('a retirement that waits for the other slot happens with its first success', async () => {
    const deviceId = await rotating();
    const moment = { case: 'onOtherUsed' as const, value: true };
    const { outcomes } = await retire([deviceId], { moment, execute: true });
    expect(outcomes[0]).toMatchObject({ locksOut: false, done: true });
    expect((await device(deviceId))?.primary?.retiresOnOtherUsed).toBe(true);
    expect((await decide(deviceId, OLD)).case).toBe('granted');
    await granted(deviceId, NEW);
    expect((await decide(deviceId, OLD)).case).toBe('denied');
    expect(await state(deviceId)).toBe(SlotState.EMPTY);
  });

  test('a promotion moves what is in use, first and last uses with it, and answers a repeat the same', async () => {
    const deviceId = await rotating();
    const before = await report(deviceId);
    const request = { deviceId, requestId: randomUUID() };
    const { device: after } = await service.clients.credentials.promoteSecondary(request);
    expect(after?.primary?.credentialId).toBe(before.slots[1]?.credential?.credentialId);
    expect((await service.clients.credentials.promoteSecondary(request)).device).toEqual(after);
    const promoted = await report(deviceId);
    expect(promoted.slots.map(({ firstUsedAt }) => firstUsedAt === undefined)).toEqual([true, false]);
    expect(promoted.slots[1]?.firstUsedAt).toEqual(before.slots[0]?.firstUsedAt);
    await service.clients.credentials.promoteSecondary({ deviceId });
    expect(await refusal(service.clients.credentials.promoteSecondary(request))).toMatch(/^Aborted: request_id/);
    await retire([deviceId], { slot: Slot.SECONDARY, execute: true });
    expect(await refusal(service.clients.credentials.promoteSecondary({ deviceId }))).toMatch(/^FailedPrecondition/);
    expect(await refusal(service.clients.credentials.promoteSecondary({ deviceId: 'nobody' }))).toMatch(/^NotFound/);
  });

  test('the report tells first and last uses, and does not call safe what is in use', async () => {
    const deviceId = await rotating();
    const before = await report(deviceId);
    expect(before.slots.map(({ credential }) => (credential as Credential).slot)).toEqual([
      Slot.PRIMARY,
      Slot.SECONDARY,
    ]);
    expect(before.slots.map(({ firstUsedAt, lastUsedAt }) => [firstUsedAt, lastUsedAt].map(Boolean))).toEqual([
      [true, true],
      [false, false],
    ]);
    await granted(deviceId, NEW);
    const used = await report(deviceId);
    expect(used.slots[1]?.lastUsedAt).toBeDefined();
    // The old one was used within the same minute.
    expect([before.safeToRetire, used.safeToRetire]).toEqual([Slot.UNSPECIFIED, Slot.UNSPECIFIED]);
    expect(await refusal(report('nobody'))).toMatch(/^NotFound/);
  });

  test('the report names an old credential that was never used, once the new one is', async () => {
    const deviceId = `idle_${number}`;
    const given = (value: string) => ({ case: 'secret' as const, value: { value } });
    await service.clients.devices.createDevice({ deviceId, primary: given(OLD) });
    await service.clients.credentials.resetCredential({ deviceId, slot: Slot.SECONDARY, credential: given(NEW) });
    await granted(deviceId, NEW);
    expect((await report(deviceId)).safeToRetire).toBe(Slot.PRIMARY);
  });

  test('the report walks the fleet by pages', async () => {
    const expected = new Set<string>();
    for (let count = 0; count < 5; count += 1) expected.add(await rotating());
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await service.clients.credentials.getRotationReport({ pageSize: 2, pageToken });
      expect(page.devices.length).toBeLessThanOrEqual(2);
      seen.push(...page.devices.map(({ deviceId }) => deviceId));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual([...new Set(seen)].sort());
    expect(expected.difference(new Set(seen)).size).toBe(0);
  });

  test('sessions of another history, or of no device, do not stand', async () => {
    const deviceId = await rotating();
    const session = { deviceId, ...sessionOf(await granted(deviceId, OLD)) };
    const wrong = [
      { ...session, deviceId: 'nobody' },
      { ...session, credentialId: '' },
      { ...session, revision: 2n ** 64n - 1n },
    ];
    expect(await check(session, ...wrong)).toEqual([true, false, false, false]);
    await service.clients.devices.freezeDevice({ deviceId });
    expect(await check(session)).toEqual([false]);
  });
});

function sessionOf({ credentialId, revision }: Granted) {
  return { credentialId, revision };
}
