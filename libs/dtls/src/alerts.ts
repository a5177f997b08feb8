/** Alert descriptions by name (RFC 5246 7.2, RFC 4279 6). */
export const ALERT = {
  CLOSE_NOTIFY: 0,
  UNEXPECTED_MESSAGE: 10,
  HANDSHAKE_FAILURE: 40,
  BAD_CERTIFICATE: 42,
  ILLEGAL_PARAMETER: 47,
  ACCESS_DENIED: 49,
  DECODE_ERROR: 50,
  DECRYPT_ERROR: 51,
  PROTOCOL_VERSION: 70,
  INTERNAL_ERROR: 80,
  NO_RENEGOTIATION: 100,
} as const;

/** Names of alerts. */
export type AlertName = keyof typeof ALERT;

/** Alert levels. */
export const LEVEL = { WARNING: 1, FATAL: 2 } as const;

/** Why a handshake cannot go on, and the alert that says so to the client. */
export class FatalAlert extends Error {
  readonly alert: AlertName;

  constructor(alert: AlertName, message: string) {
    super(message);
    this.alert = alert;
  }
}

/** The body of an alert record. Closing and the refusal of a renegotiation are warnings, all else is fatal. */
export function alertBody(alert: AlertName): Buffer {
  const isWarning = alert === 'CLOSE_NOTIFY' || alert === 'NO_RENEGOTIATION';
  return Buffer.from([isWarning ? LEVEL.WARNING : LEVEL.FATAL, ALERT[alert]]);
}
