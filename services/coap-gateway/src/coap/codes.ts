/** A code as `class.detail` in one byte (RFC 7252 3). */
export function code(family: number, detail: number): number {
  return (family << 5) | detail;
}

/** The family of a code: 0 request, 2 success, 4 client error, 5 server error. */
export function familyOf(value: number): number {
  return value >> 5;
}

/** No request and no response: an acknowledgement, a reset, a ping. */
export const EMPTY = 0;

/** Methods (RFC 7252 12.1.1). Those of RFC 8132 are not served. */
export const METHOD = { GET: code(0, 1), POST: code(0, 2), PUT: code(0, 3), DELETE: code(0, 4) } as const;

/** Responses that are given (RFC 7252 12.1.2, RFC 7959 2.9). */
export const RESPONSE = {
  CREATED: code(2, 1),
  DELETED: code(2, 2),
  CHANGED: code(2, 4),
  CONTENT: code(2, 5),
  CONTINUE: code(2, 31),
  BAD_REQUEST: code(4, 0),
  UNAUTHORIZED: code(4, 1),
  BAD_OPTION: code(4, 2),
  FORBIDDEN: code(4, 3),
  NOT_FOUND: code(4, 4),
  METHOD_NOT_ALLOWED: code(4, 5),
  NOT_ACCEPTABLE: code(4, 6),
  INCOMPLETE: code(4, 8),
  PRECONDITION_FAILED: code(4, 12),
  TOO_LARGE: code(4, 13),
  INTERNAL_ERROR: code(5, 0),
  UNAVAILABLE: code(5, 3),
  PROXYING: code(5, 5),
} as const;

/** Option numbers (RFC 7252 12.2, RFC 7641, RFC 7959, RFC 9175). */
export const OPTION = {
  URI_HOST: 3,
  OBSERVE: 6,
  URI_PORT: 7,
  LOCATION_PATH: 8,
  URI_PATH: 11,
  CONTENT_FORMAT: 12,
  MAX_AGE: 14,
  URI_QUERY: 15,
  ACCEPT: 17,
  BLOCK2: 23,
  BLOCK1: 27,
  SIZE2: 28,
  PROXY_URI: 35,
  PROXY_SCHEME: 39,
  SIZE1: 60,
  REQUEST_TAG: 292,
} as const;

/** Content formats (RFC 7252 12.3). */
export const FORMAT = { LINKS: 40, OCTETS: 42, JSON: 50 } as const;
