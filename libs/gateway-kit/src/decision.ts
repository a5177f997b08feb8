import type { DeviceId, Secret } from '@latchkey/kernel';
import type { DenyReason } from '@latchkey/protocol/v1';

/**
 * Why no decision could be made: the service is away, did not answer in time, has too many questions open, failed,
 * answered what cannot be read; the gateway does not follow the changes yet; or a change overtook the answer.
 */
export type NoDecisionCause =
  | 'UNAVAILABLE'
  | 'DEADLINE'
  | 'OVERLOADED'
  | 'FAILED'
  | 'UNREADABLE'
  | 'NOT_FOLLOWING'
  | 'OVERTAKEN';

/** What a gateway keeps of a grant. */
export type Grant = {
  readonly decision: 'GRANTED';
  readonly credentialId: string;
  readonly revision: bigint;
  /** When the grant ends by itself, milliseconds since the Unix epoch; undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** What a grant by certificate rests on, opaque; empty: on no certificate. */
  readonly basis: Uint8Array;
};

/** The device may not connect. */
export type Denial = { readonly decision: 'DENIED'; readonly reason: DenyReason };

/** Nobody decided: the device is refused and may come again. It is never taken for a grant, nor for a denial. */
export type NoDecision = { readonly decision: 'NONE'; readonly cause: NoDecisionCause };

/** What a DTLS handshake goes on with. It grants nothing. */
export type PskSecrets = {
  readonly decision: 'DERIVED';
  /** The device that the identity names; undefined: there is none, and the secrets are of chance. */
  readonly deviceId: DeviceId | undefined;
  /** Under the primary secret, and where CoAP takes it under the secondary; 48 bytes each. */
  readonly masterSecrets: readonly Uint8Array[];
};

/** The answer to one attempt. */
export type Decision = Grant | Denial | NoDecision;

/** The answer to one attempt that shall get an access token: a grant has it, and ends with it. */
export type Minting = (Grant & { readonly token: Secret }) | Denial | NoDecision;
