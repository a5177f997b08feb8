import type { UnknownEnum } from '@bufbuild/protobuf';
import type { Decision, Grant } from '@latchkey/gateway-kit';
import { DenyReason } from '@latchkey/protocol/v1';

/** Why a device was refused before anybody was asked. */
export type EdgeRefusal = 'KEEPALIVE' | 'CLIENT_ID' | 'CREDENTIALS' | 'AUTH_METHOD';

/** Any outcome but a grant. */
export type Refusal = Exclude<Decision, Grant> | { readonly decision: 'REFUSED'; readonly why: EdgeRefusal };

/**
 * Why a granted link did not come about: the broker behind the gateway cannot be reached, does not answer in time, closes
 * or answers what is no CONNACK, refuses the gateway, or does not speak the device's version of MQTT.
 */
export type UpstreamFailure = 'UNREACHABLE' | 'DEADLINE' | 'NO_CONNACK' | 'REFUSED' | 'VERSION';

/** How CONNACK says it: the return code of MQTT 3.1 and 3.1.1, the reason code of MQTT 5. */
export type Connack = { readonly mqtt3: 1 | 2 | 3 | 4 | 5; readonly mqtt5: number };

/** The answer to a version of MQTT that is not spoken. */
export const BAD_VERSION: Connack = { mqtt3: 1, mqtt5: 0x84 };

const BAD_CLIENT_ID: Connack = { mqtt3: 2, mqtt5: 0x85 };
const BAD_KEEPALIVE: Connack = { mqtt3: 2, mqtt5: 0x82 };
const NOT_AVAILABLE: Connack = { mqtt3: 3, mqtt5: 0x88 };
const THROTTLED: Connack = { mqtt3: 3, mqtt5: 0x97 };
const BAD_CREDENTIALS: Connack = { mqtt3: 4, mqtt5: 0x86 };
const BAD_AUTH_METHOD: Connack = { mqtt3: 4, mqtt5: 0x8c };
const NOT_AUTHORIZED: Connack = { mqtt3: 5, mqtt5: 0x87 };

/** The answer to a refused CONNECT (docs/reasons.md). The device learns no more than the vendor's codes tell. */
export function answerTo(refusal: Refusal): Connack {
  switch (refusal.decision) {
    case 'REFUSED':
      return answerAtEdge(refusal.why);
    case 'NONE':
      return NOT_AVAILABLE;
    case 'DENIED':
      return answerToDenial(refusal.reason);
  }
}

/**
 * The answer to a device that was granted and whose link to the broker did not come about. A broker's refusal is never
 * passed on: it judges the gateway's login, and a device must not take it for its own.
 */
export function answerToUpstream(failure: UpstreamFailure): Connack {
  switch (failure) {
    case 'VERSION':
      return BAD_VERSION;
    case 'UNREACHABLE':
    case 'DEADLINE':
    case 'NO_CONNACK':
    case 'REFUSED':
      return NOT_AVAILABLE;
  }
}

function answerAtEdge(why: EdgeRefusal): Connack {
  switch (why) {
    case 'KEEPALIVE':
      return BAD_KEEPALIVE;
    case 'CLIENT_ID':
      return BAD_CLIENT_ID;
    case 'CREDENTIALS':
      return BAD_CREDENTIALS;
    case 'AUTH_METHOD':
      return BAD_AUTH_METHOD;
  }
}

function answerToDenial(reason: DenyReason): Connack {
  switch (reason) {
    case DenyReason.FROZEN:
      return NOT_AUTHORIZED;
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
      return BAD_CREDENTIALS;
    default:
      reason satisfies UnknownEnum;
      return BAD_CREDENTIALS; // a reason of a later version
  }
}
