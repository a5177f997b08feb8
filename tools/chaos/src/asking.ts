import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Client, Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import {
  AuthenticateRequestSchema,
  type AuthenticateResponse,
  AuthenticateResponseSchema,
  DenyReason,
  Protocol,
} from '@latchkey/protocol/v1';
import { digestOf, HOUR } from './digest.ts';
import { type Decision, nowUs } from './history.ts';

const PATH = '/latchkey.v1.AuthenticationService/Authenticate';
const DECIDED_AT = 'latchkey-decided-at-us';

/**
 * How long a question waits for its answer: longer than any fault that stops a replica, because what a stopped replica
 * decides as soon as it goes on is what matters.
 */
const ASK_DEADLINE_MS = 8_000;

/** The bytes of a question: every other secret is shown as an MQTT digest, the others in clear. */
export function questionOf(deviceId: string, secret: string, asDigest: boolean): Buffer {
  const kind = asDigest
    ? ({ case: 'digest', value: { signType: 0, timestamp: HOUR, password: digestOf(secret) } } as const)
    : ({ case: 'secret', value: { secret } } as const);
  const request = create(AuthenticateRequestSchema, { deviceId, protocol: Protocol.MQTT, proof: { kind } });
  return Buffer.from(toBinary(AuthenticateRequestSchema, request));
}

const REASONS = new Map<number, string>(Object.entries(DenyReason).map(([name, value]) => [value, name]));

const asIs = (bytes: Buffer) => bytes;
const read = (bytes: Buffer) => fromBinary(AuthenticateResponseSchema, bytes);

/** What came of a question, and why there was no decision or a denial. */
export type Asked = { readonly decision: Decision; readonly detail: string };

/** Asks one replica. Never rejects. */
export function ask(
  client: Client,
  question: Buffer,
  about: Pick<Decision, 'device' | 'by' | 'secret'>,
): Promise<Asked> {
  return new Promise((resolve) => {
    const beginUs = nowUs();
    let failure: ServiceError | null = null;
    let response: AuthenticateResponse | undefined;
    const call = client.makeUnaryRequest(
      PATH,
      asIs,
      read,
      question,
      new Metadata(),
      { deadline: Date.now() + ASK_DEADLINE_MS },
      (error, answered) => {
        failure = error;
        response = answered;
      },
    );
    // The status comes after the callback, and it alone carries what was sent behind the reply.
    call.on('status', ({ metadata }: StatusObject) => {
      const times = { beginUs, endUs: nowUs(), decidedUs: decidedAt(metadata) };
      const { outcome, revision, detail } = outcomeOf(response, failure);
      resolve({ decision: { ...about, ...times, outcome, revision }, detail });
    });
  });
}

function decidedAt(metadata: Metadata): number | undefined {
  const [text] = metadata.get(DECIDED_AT);
  return text === undefined ? undefined : Number(text);
}

function outcomeOf(response: AuthenticateResponse | undefined, failure: ServiceError | null) {
  const decision = response?.decision;
  if (decision?.case === 'granted') {
    return { outcome: 'GRANTED', revision: Number(decision.value.revision), detail: '' } as const;
  }
  if (decision?.case === 'denied') {
    return { outcome: 'DENIED', revision: undefined, detail: REASONS.get(decision.value.reason) ?? 'UNKNOWN' } as const;
  }
  return { outcome: 'NONE', revision: undefined, detail: failure === null ? 'no status' : `${failure.code}` } as const;
}
