/** Bounds that a server may be given; all else that is bounded has a constant where it is used. */
export type Limits = {
  /** Handshakes in flight: each may hold a lookup and, with certificates, some 20 KB. */
  readonly handshakes: number;
  /** Handshakes in flight of one IP address, behind which a whole fleet may sit. */
  readonly handshakesPerAddress: number;
  /** Open sessions: each costs a few KB. */
  readonly sessions: number;
  /** From the hello with the cookie to the server's Finished, lookups included. */
  readonly handshakeMs: number;
  /** A session that is silent for so long is closed: a device that sleeps for a day finds its own. */
  readonly idleMs: number;
  /**
   * A session that got so many records that were not authentic is closed. With tags of 8 bytes each passes with a chance
   * of 2^-64, so one of 2^20 with 2^-44 (RFC 9147 4.5.3 asks such a limit of DTLS 1.3).
   */
  readonly forgeriesPerSession: number;
  /** The first wait before a flight is sent again; it doubles (RFC 6347 4.2.4.1). */
  readonly retransmitMs: number;
  /** Bytes of a datagram in a handshake: what an IPv6 link carries for certain (1280) without IP and UDP headers. */
  readonly payloadBytes: number;
};

/** Sane for a gateway on a small machine. */
export const DEFAULT_LIMITS: Limits = {
  handshakes: 2_000,
  handshakesPerAddress: 500,
  sessions: 100_000,
  handshakeMs: 30_000,
  idleMs: 26 * 3_600_000,
  forgeriesPerSession: 2 ** 20,
  retransmitMs: 1_000,
  payloadBytes: 1_232,
};

/** The most that one record holds (RFC 5246 6.2.1). */
export const MAX_PLAINTEXT_BYTES = 2 ** 14;
