import {
  type AuthClient,
  type ChangeWatcher,
  type Decision,
  type DevicePace,
  type GatewayMetrics,
  peerChain,
  type SessionTable,
  type Slowdown,
  sourceOf,
} from '@latchkey/gateway-kit';
import { faultOf, type ReportKind, topicOf, type Upstream } from '@latchkey/gateway-kit/upstream';
import type { Clock, DeviceId } from '@latchkey/kernel';
import { DenyReason, Protocol } from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import type { EdgeRefusal, Refusal, Shown } from './answer.ts';
import { type BodyMemory, readBody } from './body.ts';
import { openReport } from './kick.ts';
import type { HttpRequest } from './listener.ts';
import { readLogin, readReportProof } from './proof.ts';
import { readRoute } from './route.ts';

/** Bytes of a login: its four fields at their longest take 300. */
const MAX_LOGIN_BYTES = 4_096;

/** Bytes of a report (IoTDA API iot_06_v5_7002). */
const MAX_REPORT_BYTES = 1_048_576;

/** Reports of one device under way: more than a device sends, and no more than 8 MB of what all devices share. */
const MAX_REPORTS_OF_DEVICE = 8;

/** What the gateway needs to serve a request. */
export type AdmissionOptions = {
  readonly auth: Pick<AuthClient, 'authenticate' | 'mintToken'>;
  readonly watcher: Pick<ChangeWatcher, 'placed'>;
  readonly sessions: SessionTable;
  readonly upstream: Pick<Upstream, 'publish'>;
  readonly memory: BodyMemory;
  /** How much each device may report. */
  readonly pace: Pick<DevicePace, 'take'>;
  readonly metrics: GatewayMetrics;
  /** Holds back the answers to devices that fail too often. */
  readonly slowdown: Pick<Slowdown, 'hold'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds within which a body must arrive. */
  readonly bodyMs: number;
};

/** A token and the seconds that it lives, or a report that was passed on. */
export type Success =
  | { readonly outcome: 'TOKEN'; readonly token: string; readonly expiresInS: number }
  | { readonly outcome: 'REPORTED' };

/** A refusal, and what the device had shown. */
export type Failure = { readonly outcome: 'REFUSED'; readonly refusal: Refusal; readonly shown: Shown };

/** Decides on one request and does what it asks for; `gone` is aborted when nobody waits any more. Never rejects. */
export type Admit = (request: HttpRequest, gone: AbortSignal) => Promise<Success | Failure>;

type Proof = NonNullable<ReturnType<typeof readReportProof>>;
type Report = {
  readonly deviceId: DeviceId;
  readonly kind: ReportKind;
  readonly proof: Proof;
  readonly shown: Shown;
};

const OVERTAKEN = { decision: 'NONE', cause: 'OVERTAKEN' } as const;
const NOT_FOLLOWING = { decision: 'NONE', cause: 'NOT_FOLLOWING' } as const;

/** Serves logins and reports, counts and logs the outcome. */
export function createAdmission(options: AdmissionOptions): Admit {
  const { metrics, slowdown, log } = options;
  return async (request, gone) => {
    const outcome = await serve(options, request, gone).catch((error: unknown) => {
      log.error({ err: error }, 'a request failed');
      return refuse({ decision: 'NONE', cause: 'FAILED' }, 'OTHER');
    });
    if (outcome.outcome === 'REFUSED') {
      metrics.decided(outcome.refusal);
      if (isThrottled(outcome.refusal)) await slowdown.hold();
      log.debug({ method: request.method, refusal: outcome.refusal }, 'refused');
    }
    return outcome;
  };
}

function isThrottled(refusal: Refusal): boolean {
  return refusal.decision === 'DENIED' && refusal.reason === DenyReason.THROTTLED;
}

function serve(options: AdmissionOptions, request: HttpRequest, gone: AbortSignal): Promise<Success | Failure> {
  const route = readRoute(request.method, request.url);
  switch (route.operation) {
    case 'NONE':
      return Promise.resolve(refuseAtEdge(route.why, 'OTHER'));
    case 'LOGIN':
      return login(options, request, gone);
    case 'REPORT':
      return report(options, request, gone, route);
  }
}

/** The steps of a login. A token is judged at each use, so there is nothing to register. */
async function login(options: AdmissionOptions, request: HttpRequest, gone: AbortSignal): Promise<Success | Failure> {
  const body = await bodyOf(options, request, gone, MAX_LOGIN_BYTES);
  if (body.outcome === 'REFUSED') return body.why === 'TOO_LONG' ? refuseAtEdge('INPUT', 'OTHER') : fail(body, 'OTHER');
  options.memory.release(body.bytes.length);

  const read = readLogin(body.bytes);
  if (read === undefined) return refuseAtEdge('INPUT', 'OTHER');

  const attempt = { ...read, protocol: Protocol.HTTPS, source: sourceOf(request.socket) };
  const decision = await options.auth.mintToken(attempt);
  if (decision.decision !== 'GRANTED') return refuse(decision, 'OTHER');

  options.metrics.decided(decision);
  const leftMs = (decision.expiresAtMs ?? 0) - options.clock.now();
  return { outcome: 'TOKEN', token: decision.token.reveal(), expiresInS: Math.max(Math.floor(leftMs / 1_000), 0) };
}

/** The steps of a report. It is decided on before its body is read: who may not report cannot make us hold a megabyte. */
async function report(
  options: AdmissionOptions,
  request: HttpRequest,
  gone: AbortSignal,
  { deviceId, kind }: Pick<Report, 'deviceId' | 'kind'>,
): Promise<Success | Failure> {
  const proof = readReportProof(request.headers['access_token'], peerChain(request.socket));
  if (proof === undefined) return refuseAtEdge('NO_TOKEN', 'TOKEN');
  const shown: Shown = proof.kind.case === 'token' ? 'TOKEN' : 'OTHER';

  const askedAtMs = options.clock.monotonic();
  const decision = await ask(options, request, deviceId, proof);
  if (decision.decision !== 'GRANTED') return refuse(decision, shown);

  // After the decision: before it, others could use up what the device may send.
  if (!options.pace.take(deviceId)) return refuseAtEdge('TOO_FAST', shown);
  if (options.sessions.ofDevice(deviceId).length >= MAX_REPORTS_OF_DEVICE) return refuseAtEdge('TOO_MANY', shown);

  const { credentialId, revision, basis } = decision;
  const byCertificate = proof.kind.case === 'certificate';
  const open = openReport({ deviceId, credentialId, revision, byCertificate, basis }, gone, options.log);
  if (!options.sessions.register(open.session, askedAtMs)) return refuse(OVERTAKEN, shown);
  try {
    const outcome = await passOn(options, request, open.signal, { deviceId, kind, proof, shown });
    const cause = outcome.outcome === 'REFUSED' ? open.kickedFor() : undefined;
    if (cause !== undefined) return refuseAtEdge(cause === 'STOPPING' ? 'STOPPING' : 'KICKED', shown);
    if (outcome.outcome === 'REPORTED') options.metrics.decided(decision);
    return outcome;
  } finally {
    options.sessions.remove(open.session);
  }
}

function ask(options: AdmissionOptions, request: HttpRequest, deviceId: DeviceId, proof: Proof): Promise<Decision> {
  // Without a place in the log, the change that ends this report might never be heard of.
  if (!options.watcher.placed) return Promise.resolve(NOT_FOLLOWING);
  return options.auth.authenticate({ deviceId, proof, protocol: Protocol.HTTPS, source: sourceOf(request.socket) });
}

/** Reads the report and sends it upstream; until it is sent, the signal ends it. */
async function passOn(
  options: AdmissionOptions,
  request: HttpRequest,
  signal: AbortSignal,
  { deviceId, kind, shown }: Report,
): Promise<Success | Failure> {
  const body = await bodyOf(options, request, signal, MAX_REPORT_BYTES);
  if (body.outcome === 'REFUSED') return fail(body, shown);
  try {
    const fault = faultOf(kind, deviceId, body.bytes);
    if (fault !== undefined) return refuseAtEdge(fault === 'MALFORMED' ? 'INPUT' : fault, shown);
    const published = await options.upstream.publish(topicOf(deviceId, kind), body.bytes, signal);
    switch (published) {
      case 'ACKNOWLEDGED':
        return { outcome: 'REPORTED' };
      case 'TOO_LONG':
        return refuseAtEdge('TOO_LONG', shown);
      case 'FAILED':
        return refuseAtEdge('UPSTREAM', shown);
      case 'GIVEN_UP':
        return refuse(OVERTAKEN, shown);
    }
  } finally {
    options.memory.release(body.bytes.length);
  }
}

type Unread = { readonly outcome: 'REFUSED'; readonly why: EdgeRefusal | 'GONE' };

async function bodyOf(
  { memory, bodyMs: deadlineMs }: AdmissionOptions,
  request: HttpRequest,
  signal: AbortSignal,
  maxBytes: number,
): Promise<{ readonly outcome: 'READ'; readonly bytes: Buffer } | Unread> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return { outcome: 'REFUSED', why: 'TOO_LONG' };
  const body = await readBody(request, { maxBytes, deadlineMs, signal, memory });
  return body.outcome === 'READ' ? body : { outcome: 'REFUSED', why: body.outcome };
}

function fail({ why }: Unread, shown: Shown): Failure {
  return why === 'GONE' ? refuse(OVERTAKEN, shown) : refuseAtEdge(why, shown);
}

function refuseAtEdge(why: EdgeRefusal, shown: Shown): Failure {
  return refuse({ decision: 'REFUSED', why }, shown);
}

function refuse(refusal: Refusal, shown: Shown): Failure {
  return { outcome: 'REFUSED', refusal, shown };
}
