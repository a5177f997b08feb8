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
  await write(system, 'DeviceService/CreateDevice', { deviceId, secret: { value: secret } });
}

/** Registers a device with the fingerprint of a certificate. */
export async function registerCertificate(system: System, deviceId: string, fingerprint: string): Promise<void> {
  await write(system, 'DeviceService/CreateDevice', { deviceId, fingerprint: { value: fingerprint } });
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
  const request = { deviceId, slot: `SLOT_${slot}`, secret: { value: secret } };
  await write(system, 'CredentialService/ResetCredential', request);
}

/** Empties the primary slot. */
export async function retirePrimary(system: System, deviceId: string): Promise<void> {
  const request = { deviceIds: [deviceId], slot: 'SLOT_PRIMARY', execute: true };
  await write(system, 'CredentialService/RetireCredential', request);
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
