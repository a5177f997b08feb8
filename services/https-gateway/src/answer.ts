import type { UnknownEnum } from '@bufbuild/protobuf';
import type { Decision, Grant } from '@latchkey/gateway-kit';
import { DenyReason } from '@latchkey/protocol/v1';

/**
 * Why a request was refused before or after anybody was asked: there is no such path or method, it is malformed, it has no
 * token and no certificate, a sub-device in it is none of the device's, it is too long or too slow, the device sends too much
 * in a second, it or all devices together have too much under way, the upstream broker is away, the gateway stops, or the
 * device's sessions were closed meanwhile.
 */
export type EdgeRefusal =
  | 'NO_SUCH_PATH'
  | 'METHOD'
  | 'INPUT'
  | 'NO_TOKEN'
  | 'NOT_ITS_SUB_DEVICE'
  | 'TOO_LONG'
  | 'TOO_SLOW'
  | 'BUSY'
  | 'TOO_FAST'
  | 'TOO_MANY'
  | 'UPSTREAM'
  | 'STOPPING'
  | 'KICKED';

/** Any outcome but a success. */
export type Refusal = Exclude<Decision, Grant> | { readonly decision: 'REFUSED'; readonly why: EdgeRefusal };

/** What the device showed: a token has errors of its own. */
export type Shown = 'TOKEN' | 'OTHER';

/** A status and the body of an error, both the vendor's where it has one (IoTDA API iot_06_v5_7008 to 7011). */
export type ErrorAnswer = { readonly status: number; readonly code: string; readonly message: string };

const INVALID_INPUT = { status: 400, code: 'IOTDA.000006', message: 'Invalid input data.' };
const UNAUTHORIZED = { status: 401, code: 'IOTDA.000002', message: 'The request is unauthorized.' };
const INVALID_TOKEN = { status: 403, code: 'IOTDA.000004', message: 'Invalid access token.' };
const RATE_LIMIT = { status: 403, code: 'IOTDA.021101', message: 'Request reached the maximum rate limit.' };
const NOT_ITS_SUB_DEVICE = {
  ...{ status: 400, code: 'IOTDA.021104' },
  message: 'A sub-device does not exist, or is not one of this gateway.',
};
const TOO_LONG = { status: 403, code: 'IOTDA.021105', message: 'The content is longer than 1 MB.' };
// The vendor has no word for these, so the codes are ours.
const NO_SUCH_PATH = { status: 404, code: 'LATCHKEY.NO_SUCH_PATH', message: 'There is nothing under this path.' };
const METHOD = { status: 405, code: 'LATCHKEY.METHOD', message: 'POST only.' };
const TOO_SLOW = { status: 408, code: 'LATCHKEY.TOO_SLOW', message: 'The request did not arrive in time.' };
const UNAVAILABLE = { status: 503, code: 'LATCHKEY.UNAVAILABLE', message: 'Not possible at the moment; try again.' };

/** The answer to a request that failed (docs/reasons.md). The device learns no more than the vendor's codes tell. */
export function answerTo(refusal: Refusal, shown: Shown): ErrorAnswer {
  switch (refusal.decision) {
    case 'REFUSED':
      return answerAtEdge(refusal.why, shown);
    case 'NONE':
      return UNAVAILABLE;
    case 'DENIED':
      return answerToDenial(refusal.reason, shown);
  }
}

function answerAtEdge(why: EdgeRefusal, shown: Shown): ErrorAnswer {
  switch (why) {
    case 'NO_SUCH_PATH':
      return NO_SUCH_PATH;
    case 'METHOD':
      return METHOD;
    case 'INPUT':
      return INVALID_INPUT;
    case 'NO_TOKEN':
      return INVALID_TOKEN;
    case 'NOT_ITS_SUB_DEVICE':
      return NOT_ITS_SUB_DEVICE;
    case 'TOO_LONG':
      return TOO_LONG;
    case 'TOO_SLOW':
      return TOO_SLOW;
    case 'TOO_FAST':
    case 'TOO_MANY':
      return RATE_LIMIT;
    case 'BUSY':
    case 'UPSTREAM':
    case 'STOPPING':
      return UNAVAILABLE;
    case 'KICKED':
      return unauthorized(shown);
  }
}

function answerToDenial(reason: DenyReason, shown: Shown): ErrorAnswer {
  switch (reason) {
    case DenyReason.THROTTLED:
      return RATE_LIMIT;
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
    case DenyReason.FROZEN:
    case DenyReason.ACTIVATION_EXPIRED:
    case DenyReason.TOKEN_INVALID:
    case DenyReason.TOKEN_EXPIRED:
    case DenyReason.TOKEN_REVOKED:
    case DenyReason.UNSPECIFIED:
      return unauthorized(shown);
    default:
      reason satisfies UnknownEnum;
      return unauthorized(shown); // a reason of a later version
  }
}

/** A device whose token is refused logs in again, and then hears 401 if it may not. */
function unauthorized(shown: Shown): ErrorAnswer {
  return shown === 'TOKEN' ? INVALID_TOKEN : UNAUTHORIZED;
}
