import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type System, tokenOf } from './system.ts';

type Answer = Readonly<Record<string, unknown>>;

/** A store that is slow for a moment answers 503; a busy machine does so, too. */
const ATTEMPTS = 10;
const PAUSE_MS = 300;

/** Calls a method of the operators' API with JSON over HTTP. Rejects with the error that the service answered. */
async function call(system: System, method: string, request: object): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${system.admin}/latchkey.v1.${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tokenOf(system)}` },
      body: JSON.stringify(request),
    });
    const answer = await response.text();
    if (response.ok) return JSON.parse(answer);
    if (response.status !== 503 || attempt === ATTEMPTS)
      throw new Error(`${method} answered ${response.status} ${answer}`);
    await pause(PAUSE_MS);
  }
}

/** The same for a write, which its request id makes safe to repeat. */
function write(system: System, method: string, request: object): Promise<Answer> {
  return call(system, method, { ...request, requestId: randomUUID() });
}

/** Registers a device with a secret. */
export async function register(system: System, deviceId: string, secret: string): Promise<void> {
  await create(system, deviceId, { secret: { value: secret } });
}

/** Registers an NB-IoT device: its secret is the hex of its pre-shared key. */
export async function registerHex(system: System, deviceId: string, secret: string): Promise<void> {
  const request = { deviceId, secret: { value: secret }, secretFormat: 'SECRET_FORMAT_HEX' };
  await write(system, 'DeviceService/CreateDevice', request);
}

/** Registers a device with the fingerprint of a certificate. */
export async function registerCertificate(system: System, deviceId: string, fingerprint: string): Promise<void> {
  await create(system, deviceId, { fingerprint: { value: fingerprint } });
}

/** What the service says of a device. */
export async function deviceOf(system: System, deviceId: string): Promise<object> {
  const { device } = await call(system, 'DeviceService/GetDevice', { deviceId });
  return device as object;
}

/** Sets the primary secret; gives the revision. */
export async function resetPrimary(system: System, deviceId: string, secret: string): Promise<number> {
  const request = { deviceId, slot: 'SLOT_PRIMARY', secret: { value: secret } };
  const { revision } = await write(system, 'CredentialService/ResetCredential', request);
  return Number(revision);
}

/** Sets the secret of a slot. */
export async function resetSecret(
  system: System,
  deviceId: string,
  slot: 'PRIMARY' | 'SECONDARY',
  secret: string,
): Promise<void> {
  await resetSlot(system, deviceId, slot, { secret: { value: secret } });
}

/** Empties the primary slot. */
export async function retirePrimary(system: System, deviceId: string): Promise<void> {
  await retire(system, [deviceId], 'PRIMARY', 'EXECUTE');
}

/** Freezes a device. */
export async function freeze(system: System, deviceId: string): Promise<void> {
  await write(system, 'DeviceService/FreezeDevice', { deviceId });
}

/** Deletes a device. */
export async function remove(system: System, deviceId: string): Promise<void> {
  await write(system, 'DeviceService/DeleteDevice', { deviceId });
}

/** Lets a frozen device in again. */
export async function unfreeze(system: System, deviceId: string): Promise<void> {
  await write(system, 'DeviceService/UnfreezeDevice', { deviceId });
}

/** Whether a secret would let a device in, and the device's revision if so. */
export async function tryProof(system: System, deviceId: string, secret: string): Promise<number | undefined> {
  const attempt = { deviceId, protocol: 'PROTOCOL_MQTT', proof: { secret: { secret } } };
  const { granted } = await call(system, 'CredentialService/TryProof', { attempt });
  return granted === undefined ? undefined : Number((granted as { readonly revision: string }).revision);
}

type Credential = { readonly secret: object } | { readonly fingerprint: object };

/** Registers a device with this in its primary slot. */
export async function create(system: System, deviceId: string, credential: Credential): Promise<void> {
  await write(system, 'DeviceService/CreateDevice', { deviceId, ...credential });
}

/** Sets a slot, and closes the device's sessions if so asked. */
export async function resetSlot(
  system: System,
  deviceId: string,
  slot: 'PRIMARY' | 'SECONDARY',
  credential: Credential,
  sessions: 'KEEP' | 'FORCE' = 'KEEP',
): Promise<void> {
  const request = { deviceId, slot: `SLOT_${slot}`, ...credential, forceDisconnect: sessions === 'FORCE' };
  await write(system, 'CredentialService/ResetCredential', request);
}

/** Empties the slot of these devices, or only says who would be locked out; gives those. */
export async function retire(
  system: System,
  deviceIds: readonly string[],
  slot: 'PRIMARY' | 'SECONDARY',
  how: 'DRY_RUN' | 'EXECUTE',
): Promise<readonly string[]> {
  const request = { deviceIds, slot: `SLOT_${slot}`, execute: how === 'EXECUTE' };
  const { outcomes } = await write(system, 'CredentialService/RetireCredential', request);
  const lockedOut = (outcomes as { readonly deviceId: string; readonly locksOut?: boolean }[]).filter(
    ({ locksOut }) => locksOut === true,
  );
  return lockedOut.map(({ deviceId }) => deviceId);
}

/** What is known of one device's credentials. */
export type Rotation = {
  readonly deviceId: string;
  readonly slots: readonly { readonly credential: { readonly slot: string }; readonly firstUsedAt?: string }[];
  readonly safeToRetire?: string;
};

/** The rotation report of the whole fleet, in the order of the ids. */
export async function rotationReport(system: System): Promise<readonly Rotation[]> {
  const { devices } = await call(system, 'CredentialService/GetRotationReport', { pageSize: 1_000 });
  return devices as Rotation[];
}
