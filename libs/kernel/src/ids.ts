declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** 1 to 128 of `A-Za-z0-9_-`, unique in the fleet (IoTDA API iot_06_v5_0046). */
export type DeviceId = Brand<string, 'DeviceId'>;

/** 16 characters of base64url: 12 random bytes drawn by the writer, moving with its secret or fingerprint. */
export type CredentialId = Brand<string, 'CredentialId'>;

/** The version of a device's record: the position that its last write took in the log; 0 means no record. */
export type Revision = Brand<number, 'Revision'>;

const DEVICE_ID = /^[A-Za-z0-9_-]{1,128}$/;

/** Bytes of a credential id. */
export const CREDENTIAL_ID_BYTES = 12;

/** The text as a device id, or undefined when it is none. */
export function parseDeviceId(text: string): DeviceId | undefined {
  return DEVICE_ID.test(text) ? (text as DeviceId) : undefined;
}

/** The number as a revision. Throws a RangeError when it is no integer from 0 to 2^53 - 1. */
export function toRevision(value: number | bigint): Revision {
  const revision = Number(value);
  if (!Number.isSafeInteger(revision) || revision < 0) throw new RangeError(`not a revision: ${value}`);
  return revision as Revision;
}

/** No record. */
export const NO_REVISION = 0 as Revision;

/** A credential id of 12 random bytes. Throws a RangeError on another length. */
export function toCredentialId(bytes: Uint8Array): CredentialId {
  if (bytes.length !== CREDENTIAL_ID_BYTES) throw new RangeError(`a credential id has ${CREDENTIAL_ID_BYTES} bytes`);
  return Buffer.from(bytes).toString('base64url') as CredentialId;
}
