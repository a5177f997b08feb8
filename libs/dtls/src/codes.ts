/** Record content types (RFC 5246 6.2.1, RFC 9146 4). */
export const CONTENT = {
  CHANGE_CIPHER_SPEC: 20,
  ALERT: 21,
  HANDSHAKE: 22,
  APPLICATION_DATA: 23,
  TLS12_CID: 25,
} as const;

/** Handshake message types (RFC 5246 7.4, RFC 6347 4.3.2). */
export const HANDSHAKE = {
  CLIENT_HELLO: 1,
  SERVER_HELLO: 2,
  HELLO_VERIFY_REQUEST: 3,
  CERTIFICATE: 11,
  SERVER_KEY_EXCHANGE: 12,
  CERTIFICATE_REQUEST: 13,
  SERVER_HELLO_DONE: 14,
  CERTIFICATE_VERIFY: 15,
  CLIENT_KEY_EXCHANGE: 16,
  FINISHED: 20,
} as const;

/** Hello extensions: RFC 6066, 8422, 5246, 7366, 7627, 9146, 5746. */
export const EXTENSION = {
  MAX_FRAGMENT_LENGTH: 1,
  SUPPORTED_GROUPS: 10,
  POINT_FORMATS: 11,
  SIGNATURE_ALGORITHMS: 13,
  ENCRYPT_THEN_MAC: 22,
  EXTENDED_MASTER_SECRET: 23,
  CONNECTION_ID: 54,
  RENEGOTIATION_INFO: 0xff01,
} as const;

/** TLS_EMPTY_RENEGOTIATION_INFO_SCSV stands for an empty renegotiation_info (RFC 5746 3.3). */
export const RENEGOTIATION_SCSV = 0x00ff;

/** Versions on the wire: the one's complement of the number (RFC 6347 4.1); older ones are greater. */
export const DTLS_1_2 = 0xfefd;
export const DTLS_1_0 = 0xfeff;

/** Bytes of a client's or server's random (RFC 5246 7.4.1.2). */
export const RANDOM_BYTES = 32;
