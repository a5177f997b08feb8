import { type Random, Secret } from '@latchkey/kernel';
import type { SecretFormat } from './device.ts';
import { type Refusal, refuse } from './refusal.ts';

/** Characters of a generated secret, the longest that IoTDA takes: 192 random bits as text, 128 as hex. */
const GENERATED_CHARACTERS = 32;

/**
 * The text as a secret: 8 to 32 of `A-Za-z0-9_-`; for HEX an even number of hex digits of either case, kept as given
 * because the text itself is what digests are made of (IoTDA API iot_06_v5_0046).
 */
export function parseSecret(text: string, format: SecretFormat): Secret | Refusal {
  if (text.length < 8 || text.length > 32) return refuse('SECRET_LENGTH');
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return refuse('SECRET_CHARACTERS');
  if (format === 'HEX' && !/^(?:[0-9A-Fa-f]{2})*$/.test(text)) return refuse('SECRET_NOT_HEX');
  return new Secret(text);
}

/** A new secret of 32 characters: 24 random bytes in base64url, or 16 in lowercase hex. */
export function generateSecret(random: Random, format: SecretFormat): Secret {
  const encoding = format === 'HEX' ? 'hex' : 'base64url';
  const text = Buffer.from(random(format === 'HEX' ? 16 : 24)).toString(encoding);
  if (text.length !== GENERATED_CHARACTERS) throw new RangeError('the generator gave a wrong number of bytes');
  return new Secret(text);
}
