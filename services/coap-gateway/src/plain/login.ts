import { fieldsOf, parseJson } from '@latchkey/gateway-kit/upstream';
import { parseDeviceId } from '@latchkey/kernel';
import type { Signed } from './tokens.ts';

/** A login: a digest of the time with the secret. */
export type Login = Signed & { readonly password: string };

const TIMESTAMP = /^[0-9]{10}$/;
const PASSWORD = /^[0-9a-f]{64}$/;

/** Sign types whose time the auth service checks. One without would be good for ever to whoever hears it, and over MQTT too. */
const CHECKED: readonly unknown[] = [1, 2];

/** Reads the body of `POST /auth`, the login of HTTPS (IoTDA API iot_06_v5_7008). Undefined: it is none. Never throws. */
export function readLogin(body: Uint8Array): Login | undefined {
  const { device_id, sign_type, timestamp, password } = fieldsOf(parseJson(body)) ?? {};
  const deviceId = typeof device_id === 'string' ? parseDeviceId(device_id) : undefined;
  if (deviceId === undefined || !CHECKED.includes(sign_type)) return undefined;
  if (typeof timestamp !== 'string' || !TIMESTAMP.test(timestamp)) return undefined;
  if (typeof password !== 'string' || !PASSWORD.test(password)) return undefined;
  return { deviceId, signType: Number(sign_type), timestamp, password };
}
