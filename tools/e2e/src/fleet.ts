import { randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { certificateLogin, login } from './digest.ts';
import { keyPem, newKeys, selfSigned } from './identity.ts';
import { dialIn, type Link } from './link.ts';
import { caFile, type System } from './system.ts';

/** What a slot holds, as the operators' API takes it, and how a device connects with it. */
export type Held = {
  readonly credential:
    | { readonly secret: { readonly value: string } }
    | { readonly fingerprint: { readonly value: string } };
  /** Connects the device; it must be let in. */
  readonly connect: (system: System, deviceId: string) => Promise<Link>;
};

/** A secret of its own. */
export function newSecret(): Held {
  const value = randomBytes(12).toString('hex');
  return {
    credential: { secret: { value } },
    connect: (system, deviceId) => dialIn(system.mqtt, login(deviceId, value)),
  };
}

/** Makes certificates of their own for devices that share a key: that is quick, and a fingerprint is of the certificate. */
export async function certificateMaker(): Promise<() => Promise<Held>> {
  const keys = await newKeys();
  const key = keyPem(keys);
  return async () => {
    const cert = await selfSigned(keys);
    const value = new X509Certificate(cert).fingerprint256.replaceAll(':', '');
    return {
      credential: { fingerprint: { value } },
      connect: (system, deviceId) => {
        const tls = { protocol: 'mqtts', cert, key, ca: readFileSync(caFile(system)) } as const;
        return dialIn(system.mqtts, certificateLogin(deviceId), tls);
      },
    };
  };
}

/** Does something for each, so many at a time. Rejects with the first failure. */
export async function forEachOf<T>(
  items: readonly T[],
  atATime: number,
  act: (item: T) => Promise<unknown>,
): Promise<void> {
  const left = items.values();
  const lane = async () => {
    for (const item of left) await act(item);
  };
  await Promise.all(Array.from({ length: atATime }, lane));
}
