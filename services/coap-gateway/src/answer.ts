import type { UnknownEnum } from '@bufbuild/protobuf';
import type { Refusal as Alert } from '@latchkey/dtls';
import type { Decision, Grant } from '@latchkey/gateway-kit';
import { DenyReason } from '@latchkey/protocol/v1';
import { RESPONSE } from './coap/codes.ts';
import { BUSY, type CoapResponse } from './coap/conversation.ts';

/**
 * Why a request was refused before or after anybody was asked: there is no such resource or method, it is malformed, wants
 * another format, is about another device than the one that asks, about none, has no token that is held here, is a login that
 * was used before, or of an LwM2M version that is not known;
 * it is too long, the upstream broker is away, or the device is being looked at already.
 */
export type EdgeRefusal =
  | 'NO_SUCH_PATH'
  | 'METHOD'
  | 'INPUT'
  | 'FORMAT'
  | 'OTHER_DEVICE'
  | 'NAMELESS'
  | 'NO_TOKEN'
  | 'REPLAYED'
  | 'VERSION'
  | 'TOO_LONG'
  | 'UPSTREAM'
  | 'BUSY';

/** Any outcome but a grant. */
export type Refusal = Exclude<Decision, Grant> | { readonly decision: 'REFUSED'; readonly why: EdgeRefusal };

/** What a refusal is told as: by an alert while the handshake is under way, by a response later. */
type Answer = { readonly alert: Alert; readonly response: CoapResponse };

const UNAUTHORIZED: Answer = { alert: 'DECRYPT_ERROR', response: { code: RESPONSE.UNAUTHORIZED } };
const FORBIDDEN: Answer = { alert: 'ACCESS_DENIED', response: { code: RESPONSE.FORBIDDEN } };
const COME_AGAIN: Answer = { alert: 'INTERNAL_ERROR', response: BUSY };
// Another alert than a wrong key's would tell a guess from a hit.
const THROTTLED: Answer = { alert: 'DECRYPT_ERROR', response: BUSY };

/** The alert that ends the handshake of a device that was refused (docs/reasons.md). */
export function alertTo(refusal: Exclude<Decision, Grant>): Alert {
  return refusal.decision === 'NONE' ? COME_AGAIN.alert : answerToDenial(refusal.reason).alert;
}

/** The response to a request that was refused (docs/reasons.md). The device learns no more than the codes tell. */
export function responseTo(refusal: Refusal): CoapResponse {
  switch (refusal.decision) {
    case 'REFUSED':
      return answerAtEdge(refusal.why);
    case 'NONE':
      return COME_AGAIN.response;
    case 'DENIED':
      return answerToDenial(refusal.reason).response;
  }
}

function answerAtEdge(why: EdgeRefusal): CoapResponse {
  switch (why) {
    case 'NO_SUCH_PATH':
      return { code: RESPONSE.NOT_FOUND };
    case 'METHOD':
      return { code: RESPONSE.METHOD_NOT_ALLOWED };
    case 'INPUT':
      return { code: RESPONSE.BAD_REQUEST };
    case 'FORMAT':
      return { code: RESPONSE.NOT_ACCEPTABLE };
    case 'OTHER_DEVICE':
      return FORBIDDEN.response;
    case 'NAMELESS':
    case 'NO_TOKEN':
    case 'REPLAYED':
      return UNAUTHORIZED.response;
    case 'VERSION':
      return { code: RESPONSE.PRECONDITION_FAILED };
    case 'TOO_LONG':
      return { code: RESPONSE.TOO_LARGE };
    case 'UPSTREAM':
    case 'BUSY':
      return BUSY;
  }
}

function answerToDenial(reason: DenyReason): Answer {
  switch (reason) {
    case DenyReason.FROZEN:
      return FORBIDDEN;
    case DenyReason.THROTTLED:
      return THROTTLED;
    case DenyReason.UNKNOWN_DEVICE:
    case DenyReason.WRONG_KIND:
    case DenyReason.NO_CREDENTIAL:
    case DenyReason.SECRET_MISMATCH:
    case DenyReason.STALE_TIMESTAMP:
    case DenyReason.FINGERPRINT_MISMATCH:
    case DenyReason.CERTIFICATE_INVALID:
    case DenyReason.CERTIFICATE_EXPIRED:
    case DenyReason.CERTIFICATE_UNTRUSTED:
    case DenyReason.CERTIFICATE_DISABLED:
    case DenyReason.SECONDARY_NOT_ACCEPTED:
    case DenyReason.ACTIVATION_EXPIRED:
    case DenyReason.TOKEN_INVALID:
    case DenyReason.TOKEN_EXPIRED:
    case DenyReason.TOKEN_REVOKED:
    case DenyReason.UNSPECIFIED:
      return UNAUTHORIZED;
    default:
      reason satisfies UnknownEnum;
      return UNAUTHORIZED; // a reason of a later version
  }
}

/** A refusal at the edge. */
export function refused(why: EdgeRefusal): { readonly decision: 'REFUSED'; readonly why: EdgeRefusal } {
  return { decision: 'REFUSED', why };
}
