import { randomUUID } from 'node:crypto';
import { Code, ConnectError } from '@connectrpc/connect';
import { DenyReason, DeviceStatus, Slot, SlotState } from '@latchkey/protocol/v1';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attempt } from './test-process.ts';
import { type Service, STORES, startService } from './test-stores.ts';

let service: Service;
let number = 0;
/** An id that no other test has. */
const fresh = () => {
  number += 1;
  return `pump_${number}`;
};
const SECRET = 'secret-number-1';
const given = (value = 'GENERATED') => ({ case: 'secret' as const, value: value === 'GENERATED' ? {} : { value } });
const register = (deviceId: string, value = SECRET, more = {}) =>
  service.clients.devices.createDevice({ deviceId, primary: given(value), ...more });
const reset = (deviceId: string, value: string | undefined, more = {}) =>
  service.clients.credentials.resetCredential({ deviceId, slot: Slot.PRIMARY, credential: given(value), ...more });
const decide = async (deviceId: string, secret: string) =>
  (await service.clients.authenticate(attempt(deviceId, secret), 5_000)).decision;
const refusal = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  );
  const { code, rawMessage } = ConnectError.from(error);
  return `${Code[code]}: ${rawMessage}`;
};

describe.each(STORES)('over the %s store', (kind) => {
  beforeAll(async () => {
    service = await startService(kind);
  });
  afterAll(() => service.stop());

  test('a device is created, shown, listed, changed, frozen, thawed and deleted', async () => {
    const { devices } = service.clients;
    const deviceId = fresh();
    const created = await register(deviceId, 'GENERATED');
    expect(created.secret).toMatch(/^[A-Za-z0-9_-]{32}$/);
    expect(created.device).toMatchObject({
      deviceId,
      status: DeviceStatus.INACTIVE,
      secondary: { state: SlotState.EMPTY },
    });
    const secret = created.secret ?? '';
    expect(await decide(deviceId, secret)).toMatchObject({ case: 'granted', value: { activatedNow: true } });
    expect(await decide(deviceId, secret)).toMatchObject({ case: 'granted', value: { activatedNow: false } });
    const shown = (await devices.getDevice({ deviceId })).device;
    expect(shown).toMatchObject({
      status: DeviceStatus.ACTIVE,
      primary: { credentialId: created.device?.primary?.credentialId },
    });
    expect((await devices.updateDevice({ deviceId, activationTimeoutS: 7 })).device?.activationTimeoutS).toBe(7);
    expect((await devices.freezeDevice({ deviceId })).device?.status).toBe(DeviceStatus.FROZEN);
    expect(await decide(deviceId, secret)).toMatchObject({ case: 'denied', value: { reason: DenyReason.FROZEN } });
    const frozen = (await devices.freezeDevice({ deviceId })).device;
    expect((await devices.getDevice({ deviceId })).device?.revision).toBe(frozen?.revision);
    expect((await devices.unfreezeDevice({ deviceId })).device?.status).toBe(DeviceStatus.ACTIVE);
    expect(await decide(deviceId, secret)).toMatchObject({ case: 'granted' });
    await devices.deleteDevice({ deviceId });
    expect(await decide(deviceId, secret)).toMatchObject({
      case: 'denied',
      value: { reason: DenyReason.UNKNOWN_DEVICE },
    });
  });

  test('a reset replaces one slot, and the other goes on', async () => {
    const deviceId = fresh();
    await register(deviceId);
    const second = await service.clients.credentials.resetCredential({
      ...{ deviceId, slot: Slot.SECONDARY, credential: given() },
    });
    expect(second.secret).toMatch(/^[A-Za-z0-9_-]{32}$/);
    await reset(deviceId, 'secret-number-2');
    expect(await decide(deviceId, SECRET)).toMatchObject({
      case: 'denied',
      value: { reason: DenyReason.SECRET_MISMATCH },
    });
    expect(await decide(deviceId, 'secret-number-2')).toMatchObject({ case: 'granted', value: { slot: Slot.PRIMARY } });
    expect(await decide(deviceId, second.secret ?? '')).toMatchObject({
      case: 'granted',
      value: { slot: Slot.SECONDARY },
    });
  });

  test('lists go by pages and prefix, and hold no secret', async () => {
    const { devices } = service.clients;
    const ids = ['list_a', 'list_b', 'list_c'];
    for (const deviceId of ids) await register(deviceId);
    const first = await devices.listDevices({ idPrefix: 'list_', pageSize: 2 });
    const second = await devices.listDevices({ idPrefix: 'list_', pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.devices, ...second.devices].map(({ deviceId }) => deviceId)).toEqual(ids);
    expect(second.nextPageToken).toBe('');
    const shown = [first, second, await devices.getDevice({ deviceId: 'list_a' })];
    const text = JSON.stringify(shown, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
    expect(text).not.toContain(SECRET);
  });

  test('refusals have a code and say what is wrong, and never repeat a secret', async () => {
    const { devices, credentials } = service.clients;
    const deviceId = fresh();
    await register(deviceId);
    const fingerprint = {
      case: 'fingerprint' as const,
      value: { kind: { case: 'value' as const, value: 'ab'.repeat(20) } },
    };
    const none = 'NotFound: there is no device nobody';
    expect(await refusal(register(deviceId))).toBe(`AlreadyExists: there is a device ${deviceId} already`);
    expect(await refusal(devices.getDevice({ deviceId: 'nobody' }))).toBe(none);
    expect(await refusal(devices.freezeDevice({ deviceId: 'nobody' }))).toBe(none);
    expect(await refusal(devices.deleteDevice({ deviceId: 'nobody' }))).toBe(none);
    expect(await refusal(reset('nobody', undefined))).toBe(none);
    expect(await refusal(credentials.resetCredential({ deviceId, slot: Slot.PRIMARY, credential: fingerprint }))).toBe(
      'FailedPrecondition: the device authenticates by the other kind of credential',
    );
    expect(await refusal(devices.listDevices({ pageToken: 'no token!' }))).toBe(
      'InvalidArgument: page_token: not one of this service',
    );
    expect(await refusal(reset(deviceId, undefined, { expectedRevision: 2n ** 60n }))).toBe(
      'InvalidArgument: expected_revision: no record has one so large',
    );
    expect(await refusal(devices.freezeDevice({ deviceId, requestId: 'no uuid' }))).toMatch(
      /^InvalidArgument: request_id: /,
    );
    const short = await refusal(reset(deviceId, '$hort'));
    expect(short).toMatch(/^InvalidArgument: secret\.value: /);
    expect(short).not.toContain('$hort');
    expect(await refusal(devices.updateDevice({ deviceId, activationTimeoutS: 2 ** 31 }))).toMatch(
      /^InvalidArgument: /,
    );
  });

  test('an expected revision lets one write through', async () => {
    const deviceId = fresh();
    const { revision = 0n } = (await register(deviceId)).device ?? {};
    const next = await reset(deviceId, 'secret-number-2', { expectedRevision: revision });
    expect(next.revision).toBeGreaterThan(revision);
    expect(await refusal(reset(deviceId, 'secret-number-3', { expectedRevision: revision }))).toBe(
      `Aborted: expected_revision: the device's record has revision ${next.revision}`,
    );
    expect(await decide(deviceId, 'secret-number-2')).toMatchObject({ case: 'granted' });
  });

  test('a repeated request answers the same and writes nothing, whatever it expected', async () => {
    const deviceId = fresh();
    const requestId = randomUUID();
    const first = await register(deviceId, 'GENERATED', { requestId });
    expect(await register(deviceId, 'GENERATED', { requestId })).toEqual(first);
    const expecting = { requestId: randomUUID(), expectedRevision: first.device?.revision };
    const changed = await reset(deviceId, undefined, expecting);
    expect(changed.secret).not.toBe(first.secret);
    expect(await reset(deviceId, undefined, expecting)).toEqual(changed);
  });

  test('a request id with other parameters, another secret among them, is refused', async () => {
    const deviceId = fresh();
    const requestId = randomUUID();
    const other = 'InvalidArgument: request_id: it was used with other parameters';
    await register(deviceId, 'GENERATED');
    await reset(deviceId, 'secret-number-2', { requestId });
    expect(await refusal(reset(deviceId, 'secret-number-3', { requestId }))).toBe(other);
    expect(await refusal(reset(deviceId, undefined, { requestId }))).toBe(other);
    expect(await refusal(reset(deviceId, 'secret-number-2', { requestId, forceDisconnect: true }))).toBe(other);
    expect(await refusal(service.clients.devices.freezeDevice({ deviceId, requestId }))).toBe(other);
    expect(await decide(deviceId, 'secret-number-2')).toMatchObject({ case: 'granted' });
  });

  test('a request whose outcome was replaced is told so', async () => {
    const { devices } = service.clients;
    const deviceId = fresh();
    const [resetting, freezing, deleting] = [randomUUID(), randomUUID(), randomUUID()];
    const superseded = 'Aborted: request_id: what this request wrote was replaced since';
    await register(deviceId);
    await reset(deviceId, undefined, { requestId: resetting });
    await reset(deviceId, 'secret-number-2');
    expect(await refusal(reset(deviceId, undefined, { requestId: resetting }))).toBe(superseded);
    await devices.freezeDevice({ deviceId, requestId: freezing });
    await devices.unfreezeDevice({ deviceId });
    expect(await refusal(devices.freezeDevice({ deviceId, requestId: freezing }))).toBe(superseded);
    await devices.deleteDevice({ deviceId, requestId: deleting });
    expect(await devices.deleteDevice({ deviceId, requestId: deleting })).toMatchObject({});
    await register(deviceId);
    expect(await refusal(devices.deleteDevice({ deviceId, requestId: deleting }))).toBe(superseded);
  });

  test('twins that come at the same time are one write and one answer', async () => {
    const deviceId = fresh();
    const twins = (call: (requestId: string) => Promise<unknown>) => {
      const requestId = randomUUID();
      return Promise.all(Array.from({ length: 10 }, () => call(requestId)));
    };
    const created = (await twins((requestId) => register(deviceId, 'GENERATED', { requestId }))) as Awaited<
      ReturnType<typeof register>
    >[];
    expect(new Set(created.map(({ secret }) => secret)).size).toBe(1);
    const expectedRevision = created[0]?.device?.revision;
    const resets = (await twins((requestId) => reset(deviceId, undefined, { requestId, expectedRevision }))) as Awaited<
      ReturnType<typeof reset>
    >[];
    expect(new Set(resets.map(({ secret, revision }) => `${secret} ${revision}`)).size).toBe(1);
    await twins((requestId) => service.clients.devices.deleteDevice({ deviceId, requestId }));
  });

  test('a trial of a proof changes nothing', async () => {
    const deviceId = fresh();
    await register(deviceId);
    const trial = await service.clients.credentials.tryProof({ attempt: attempt(deviceId, SECRET) });
    expect(trial).toMatchObject({ decision: { case: 'granted' }, wouldActivate: true, wouldBind: false });
    expect((await service.clients.devices.getDevice({ deviceId })).device?.status).toBe(DeviceStatus.INACTIVE);
  });

  test('an unknown device and a wrong secret look the same on the wire but for the reason', async () => {
    const deviceId = fresh();
    await register(deviceId);
    const [wrong, unknown] = [await decide(deviceId, 'wrong-secret'), await decide('nobody_at_all', 'wrong-secret')];
    expect(wrong).toMatchObject({ case: 'denied', value: { reason: DenyReason.SECRET_MISMATCH } });
    expect(unknown).toMatchObject({ case: 'denied', value: { reason: DenyReason.UNKNOWN_DEVICE } });
    const without = (decision: typeof wrong) => ({ ...decision, value: { ...decision.value, reason: 0 } });
    expect(without(wrong)).toEqual(without(unknown));
  });
});
