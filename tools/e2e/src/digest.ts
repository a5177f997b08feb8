import { createHmac } from 'node:crypto';

/** What a device sends in CONNECT. */
export type Login = { readonly clientId: string; readonly username: string; readonly password?: string };

/** Sign type 0 does not check the hour. */
const SOME_HOUR = '2025041401';

/** What a device of this id and secret sends with sign type 0. */
export function login(deviceId: string, secret: string): Login {
  return signedLogin(deviceId, secret, 0, SOME_HOUR);
}

/** The same with another sign type and hour: the hour is the key, the secret the message (IoTDA API iot_06_v5_3009). */
export function signedLogin(deviceId: string, secret: string, signType: 0 | 1, hour: string): Login {
  const password = createHmac('sha256', hour).update(secret).digest('hex');
  return { clientId: `${deviceId}_0_${signType}_${hour}`, username: deviceId, password };
}

/** What a device with a certificate sends: no password. */
export function certificateLogin(deviceId: string): Login {
  return { clientId: `${deviceId}_0_0_${SOME_HOUR}`, username: deviceId };
}

/** An hour as `YYYYMMDDHH` in UTC. */
export function hourOf(time: Date): string {
  return time.toISOString().replaceAll(/\D/g, '').slice(0, 10);
}

/** The body of `POST /v5/device-auth` of a device with this id and secret (IoTDA API iot_06_v5_7008). */
export function httpsLogin(deviceId: string, secret: string) {
  const { password } = signedLogin(deviceId, secret, 0, SOME_HOUR);
  return { device_id: deviceId, sign_type: 0, timestamp: SOME_HOUR, password };
}
