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

/** The hash of a cipher suite's pseudo-random function. */
export type PskHash = 'sha256' | 'sha384';

/** What a DTLS 1.2 master secret is derived from besides the key (RFC 4279, RFC 5489, RFC 7627). */
export type PskDerivation = {
  readonly hash: PskHash;
  /** Client random and server random, 64 bytes, or the session hash, as long as `hash` makes it. */
  readonly seed: { readonly kind: 'RANDOMS' | 'SESSION_HASH'; readonly bytes: Uint8Array };
  /** The shared secret of the ECDHE exchange, at most 66 bytes; empty: plain PSK. */
  readonly ecdheSecret: Uint8Array;
};

/** The finish of a DTLS handshake: right if whoever made it holds the device's secret. */
export type PskProof = {
  readonly kind: 'PSK';
  readonly derivation: PskDerivation;
  /** Hash of the handshake up to the client's Finished. */
  readonly transcriptHash: Uint8Array;
  /** The client's verify data; 12 bytes when well formed. */
  readonly verifyData: Uint8Array;
};

/** An access token, made after the device was granted on a secret. */
export type TokenProof = { readonly kind: 'TOKEN'; readonly token: Secret };

/** What a device shows. */
export type Proof = DigestProof | SecretProof | CertificateProof | FingerprintProof | PskProof | TokenProof;
