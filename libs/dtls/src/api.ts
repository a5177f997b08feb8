import type { AlertName } from './alerts.ts';
import type { MasterSeed } from './key-schedule.ts';
import type { Limits } from './limits.ts';
import type { ServerCertificate } from './server-messages.ts';
import type { PrfHash } from './suites.ts';

/** Where a client's datagrams come from. */
export type Peer = { readonly address: string; readonly port: number };

/** What a master secret is derived from besides the pre-shared key. */
export type PskDerivation = {
  /** What the client calls itself: 1 to 256 bytes, by RFC 4279 5.1 UTF-8, which nobody has checked. */
  readonly identity: Buffer;
  readonly hash: PrfHash;
  readonly seed: MasterSeed;
  /** Of ECDHE_PSK suites; empty for plain PSK. */
  readonly ecdheSecret: Buffer;
};

/**
 * Gives master secrets of 48 bytes: one, or two where a client may hold either of two keys; they are tried in turn. For
 * an unknown identity give random ones, as many as for a known one: it then fails as a wrong key does. It may take its
 * time; a rejection ends the handshake.
 */
export type DerivePsk = (derivation: PskDerivation, peer: Peer) => Promise<readonly Uint8Array[]>;

/** A client that has shown its key; the handshake ends well if it is granted. */
export type Attempt = {
  readonly peer: Peer;
  /** Name of the cipher suite. */
  readonly suite: string;
  readonly proof: PskProof | CertificateProof;
};

/** Its Finished was right under the master secret of `derivation`. */
export type PskProof = {
  readonly kind: 'PSK';
  readonly derivation: PskDerivation;
  /** Which of `derive`'s master secrets it was. */
  readonly candidate: number;
  /** Of all messages before the client's Finished. */
  readonly transcriptHash: Buffer;
  /** What the Finished said, 12 bytes. */
  readonly verifyData: Buffer;
};

/** It holds the key of the first certificate. Nothing else was checked: no date, no issuer, no usage. */
export type CertificateProof = {
  readonly kind: 'CERTIFICATE';
  /** DER, leaf first, 1 to 8. */
  readonly chain: readonly Buffer[];
};

/** What a refused client is told. DECRYPT_ERROR is also what a wrong key is told. */
export type Refusal = Extract<
  AlertName,
  'DECRYPT_ERROR' | 'ACCESS_DENIED' | 'BAD_CERTIFICATE' | 'HANDSHAKE_FAILURE' | 'INTERNAL_ERROR'
>;

/** The decision on an attempt. */
export type Verdict<Grant> =
  | { readonly isGranted: true; readonly grant: Grant }
  | { readonly isGranted: false; readonly alert: Refusal };

/** Why a handshake that had brought its cookie came to nothing. */
export type FailureReason =
  /** No common version, suite, group or signature. */
  | 'NO_AGREEMENT'
  /** The Finished does not open: the key is wrong or the identity unknown. */
  | 'WRONG_KEY'
  /** `admit` refused. */
  | 'REFUSED'
  /** `derive` or `admit` rejected. */
  | 'NO_DECISION'
  /** The client does not keep to the protocol, or does not hold its certificate's key. */
  | 'PROTOCOL_ERROR'
  | 'TIMED_OUT'
  /** The same address began anew. */
  | 'REPLACED'
  | 'SERVER_CLOSED';

/** A handshake that came to nothing. */
export type Failure = {
  readonly reason: FailureReason;
  readonly peer: Peer;
  /** As far as the client named one. */
  readonly identity: Buffer | undefined;
  /** For a log; holds no secret and nothing that the client wrote. */
  readonly message: string;
};

/** Why a session ended. */
export type CloseReason =
  | 'CLOSED_HERE'
  | 'CLOSED_BY_PEER'
  | 'PEER_ALERT'
  | 'REPLACED'
  | 'IDLE'
  | 'FORGERIES'
  | 'PROTOCOL_ERROR'
  | 'SERVER_CLOSED';

/** An open session. */
export type Session<Grant> = {
  /** What `admit` gave. */
  readonly grant: Grant;
  /** Name of the cipher suite. */
  readonly suite: string;
  /** Where the client is; it moves when a connection id is in use (RFC 9146 6). */
  readonly peer: Peer;
  readonly hasConnectionId: boolean;
  /** The most that `send` takes, in bytes. What exceeds the path's MTU is fragmented by IP, or lost. */
  readonly maxDataBytes: number;
  /**
   * Sends application data in one record, unreliably; false when it was dropped: the session is closed, the socket's
   * queue is full, or the address is unproven and had its share. Throws a RangeError when the data is too long.
   */
  readonly send: (data: Uint8Array) => boolean;
  /** Tells the client and forgets the session. */
  readonly close: () => void;
};

/** What a session's owner hears. */
export type SessionHandlers = {
  /** One record's application data; records are lost, repeated never. */
  readonly message: (data: Buffer) => void;
  /** Once, when the session is over. */
  readonly closed: (reason: CloseReason) => void;
};

/** What a server is made from. */
export type DtlsServerOptions<Grant> = {
  /** For clients with a pre-shared key. Absent: no PSK suites. */
  readonly derive?: DerivePsk;
  /** For clients with certificates. Absent: no such suites. */
  readonly certificate?: ServerCertificate;
  /** Decides about a client that has shown its key, before the server's own Finished goes out. */
  readonly admit: (attempt: Attempt) => Promise<Verdict<Grant>>;
  /** A session is open. */
  readonly onSession: (session: Session<Grant>) => SessionHandlers;
  /** A handshake came to nothing. */
  readonly onFailure?: (failure: Failure) => void;
  /** The socket failed, or a callback threw; the server goes on. */
  readonly onError: (error: unknown) => void;
  /** Names of cipher suites in the order of preference; all unless given. */
  readonly suites?: readonly string[];
  /** Whether clients that ask for connection ids get them; true unless given. */
  readonly hasConnectionId?: boolean;
  readonly limits?: Partial<Limits>;
  /** Milliseconds since any start; the machine's monotonic clock unless given. */
  readonly clock?: () => number;
  /** Unpredictable bytes; the operating system's unless given. */
  readonly random?: (size: number) => Uint8Array;
};
