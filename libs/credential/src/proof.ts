import type { Secret } from '@latchkey/kernel';

/** What the device speaks to its gateway. */
export type Protocol = 'MQTT' | 'COAP' | 'HTTPS';

/** How a digest is made: 0 HMAC-SHA256, time unchecked; 1 HMAC-SHA256, time checked; 2 HMAC-SM3, time checked. */
export type SignType = 0 | 1 | 2;

/** HMAC(key = timestamp, message = secret); IoTDA API iot_06_v5_3009. */
export type DigestProof = {
  readonly kind: 'DIGEST';
  readonly signType: SignType;
  /** UTC as YYYYMMDDHH, ten digits; hour 24 is the next day's 00. */
  readonly timestamp: string;
  /** As the device sent it; 64 lowercase hex characters when well formed. */
  readonly password: string;
};

/** The secret itself. */
export type SecretProof = { readonly kind: 'SECRET'; readonly secret: Secret };

/** The chain that the device sent in a TLS handshake in which it proved possession of the leaf's key. */
export type CertificateProof = {
  readonly kind: 'CERTIFICATE';
  /** DER, leaf first, at least one. */
  readonly chain: readonly Uint8Array[];
};

/** A fingerprint from a gateway that has no more; 40 or 64 hex characters of either case. It never binds. */
export type FingerprintProof = { readonly kind: 'FINGERPRINT'; readonly fingerprint: string };

/** What a device shows. */
export type Proof = DigestProof | SecretProof | CertificateProof | FingerprintProof;
