import type { DeviceRecord, Slot } from './device.ts';
import type { PskDerivation } from './proof.ts';
import { masterSecret } from './psk.ts';
import { standingAt } from './retirement.ts';
import type { VerifySettings } from './verdict.ts';

/** Master secrets of a DTLS handshake, 48 bytes each. */
export type PskSecrets = {
  readonly primary: Buffer;
  /** Undefined: CoAP takes only the primary. */
  readonly secondary: Buffer | undefined;
};

/** Bytes of the key that stands in where there is none: as many as the longest secret has. */
const STAND_IN_BYTES = 32;

/**
 * The master secrets that a handshake with this device would have; undefined: there is no such device. Where a slot holds
 * no secret a key of chance stands in, so that its handshake fails as with a wrong key. Frozen devices have theirs: that
 * one is frozen is told only to a right proof. `random` gives so many bytes.
 */
export function pskSecrets(
  device: DeviceRecord | undefined,
  derivation: PskDerivation,
  context: {
    readonly nowMs: number;
    readonly settings: VerifySettings;
    readonly random: (bytes: number) => Uint8Array;
  },
): PskSecrets {
  const credentials = device && standingAt(device, context.nowMs).credentials;
  const of = (slot: Slot) => {
    const held = credentials?.kind === 'SECRET' ? credentials[slot === 'PRIMARY' ? 'primary' : 'secondary'] : undefined;
    const text = held?.state === 'SET' ? held.secret.reveal() : '';
    const standIn = Buffer.from(context.random(STAND_IN_BYTES)).toString('hex');
    if (credentials?.kind !== 'SECRET' || text === '') return masterSecret(standIn, 'HEX', derivation);
    return masterSecret(text, credentials.format, derivation);
  };
  return { primary: of('PRIMARY'), secondary: context.settings.coapAcceptsSecondary ? of('SECONDARY') : undefined };
}
