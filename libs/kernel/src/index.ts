export { type Allowance, isLeft, spendOne } from './allowance.ts';
export { assertNever } from './assert.ts';
export { type Clock, systemClock } from './clock.ts';
export {
  CREDENTIAL_ID_BYTES,
  type CredentialId,
  type DeviceId,
  NO_REVISION,
  parseDeviceId,
  type Revision,
  toCredentialId,
  toRevision,
} from './ids.ts';
export { type Random, systemRandom } from './random.ts';
export { Secret } from './secret.ts';
