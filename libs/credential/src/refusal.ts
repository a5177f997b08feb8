/** Why a change of a device's record was refused; nothing was changed. */
export const REFUSAL_REASONS = [
  /** The device authenticates by the other kind of credential. */
  'WRONG_KIND',
  /** Only the primary slot may be ARMED. */
  'SECONDARY_CANNOT_ARM',
  /** There is nothing to promote. */
  'SECONDARY_EMPTY',
  /** Only a SET slot can be retired later. */
  'NOT_SET',
  /** The credential of the other slot retires already; a reset of that slot ends its retirement. */
  'OTHER_RETIRES',
  /** Only an ARMED primary binds. */
  'NOT_ARMED',
  /** Not 8 to 32 characters. */
  'SECRET_LENGTH',
  /** A character outside `A-Za-z0-9_-`. */
  'SECRET_CHARACTERS',
  /** Of a HEX device: no hex, or an odd number of characters. */
  'SECRET_NOT_HEX',
  /** Neither 40 nor 64 hex characters. */
  'FINGERPRINT_FORMAT',
  /** No whole number of seconds from 0 to 2147483647. */
  'TIMEOUT_RANGE',
  /** No certificate that may issue those of clients. */
  'NOT_A_CA',
  /** The CA's certificate has expired, or is not valid yet. */
  'CA_NOT_CURRENT',
  /** There is no such CA. */
  'CA_UNKNOWN',
  /** The CA is trusted already. */
  'CA_KNOWN',
  /** The CA is trusted still. */
  'CA_TRUSTED',
  /** The CA was disabled; it must be registered anew. */
  'CA_DISABLED',
  /** No more CAs fit in. */
  'TOO_MANY_CAS',
  /** The CA's key did not sign the verification certificate. */
  'NOT_SIGNED_BY_CA',
  /** The verification certificate has another common name. */
  'WRONG_VERIFY_CODE',
  /** The verification certificate has expired, or is not valid yet. */
  'VERIFICATION_NOT_CURRENT',
  /** The certificate is not disabled. */
  'NOT_DISABLED',
  /** No more disabled certificates fit in beside those that begin with the same two digits. */
  'TOO_MANY_DISABLED',
  /** Possession of the CA's key is not proven yet. */
  'CA_UNVERIFIED',
  /** No complete CRL with a date of its next one. */
  'NOT_A_CRL',
  /** It speaks of a part of the certificates, of changes, or of other CAs', or has a critical extension. */
  'CRL_PARTIAL',
  /** Its signature is of a kind that is not taken. */
  'CRL_ALGORITHM',
  /** It names another issuer, the CA's key did not sign it, or may not sign CRLs. */
  'CRL_NOT_SIGNED_BY_CA',
  /** It has expired, or is of the future. */
  'CRL_NOT_CURRENT',
  /** It is not newer than the one that is kept. */
  'CRL_OLDER',
  /** No more revoked certificates fit in. */
  'TOO_MANY_REVOKED',
  /** The CA has no CRL. */
  'NO_CRL',
] as const;

/** Why a change was refused. */
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** What a change answers when it is refused. */
export type Refusal = { readonly refused: RefusalReason };

/** A refusal for a reason. */
export function refuse(reason: RefusalReason): Refusal {
  return { refused: reason };
}

/** Was it refused? */
export function isRefusal(outcome: object): outcome is Refusal {
  return 'refused' in outcome;
}
