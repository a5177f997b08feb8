import { createHmac } from 'node:crypto';

/** The hour that every password is made with; sign type 0 has nobody look at it. */
export const HOUR = '2030010100';

/** The password of a device with this secret. */
export function digestOf(secret: string): string {
  return createHmac('sha256', HOUR).update(secret).digest('hex');
}
