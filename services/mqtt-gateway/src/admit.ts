import {
  type AuthClient,
  type ChangeWatcher,
  type CloseCause,
  type Decision,
  type GatewayMetrics,
  type Grant,
  peerChain,
  type Session,
  type SessionTable,
  type Slowdown,
  sourceOf,
} from '@latchkey/gateway-kit';
import type { Clock, DeviceId } from '@latchkey/kernel';
import { DenyReason, Protocol } from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import type { Refusal } from './answer.ts';
import { expire, kickOf } from './kick.ts';
import { readProof } from './proof.ts';

/** Seconds; outside of them the vendor answers 2. Zero, which would be no keepalive at all, is outside too. */
const MIN_KEEPALIVE_S = 30;
const MAX_KEEPALIVE_S = 1_200;

/** What an admission needs. */
export type AdmissionOptions = {
  readonly auth: Pick<AuthClient, 'authenticate'>;
  readonly watcher: Pick<ChangeWatcher, 'placed'>;
  readonly sessions: SessionTable;
  readonly metrics: GatewayMetrics;
  /** Holds back the answers to devices that fail too often. */
  readonly slowdown: Pick<Slowdown, 'hold'>;
  readonly clock: Clock;
  readonly log: Log;
};

/** What of CONNECT an admission looks at. */
export type Connect = {
  readonly clientId: string;
  readonly keepaliveS: number;
  /** MQTT 5: it names a way of authentication that goes on after CONNECT. */
  readonly enhanced: boolean;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
};

/** A device's connection, as an admission sees it. */
export type Link = {
  /** The socket, which holds the certificate and the source. */
  readonly conn: { readonly once: (event: 'close', listener: () => void) => unknown };
  readonly isOpen: () => boolean;
  /** Ends the link at once. */
  readonly close: (cause: CloseCause) => void;
};

/** A grant, and the session that rests on it. */
export type Admitted = Grant & { readonly deviceId: DeviceId; readonly session: Session };

/** Decides on one CONNECT, counts and logs the outcome. Never rejects. */
export type Admit = (link: Link, connect: Connect) => Promise<Admitted | Refusal>;

type Question = { readonly deviceId: DeviceId; readonly proof: NonNullable<Proof>; readonly source: string };
type Proof = Parameters<AuthClient['authenticate']>[0]['proof'];

const OVERTAKEN = { decision: 'NONE', cause: 'OVERTAKEN' } as const;
const NOT_FOLLOWING = { decision: 'NONE', cause: 'NOT_FOLLOWING' } as const;

/** Decides who may connect, whatever carries the link's messages afterwards. */
export function createAdmission(options: AdmissionOptions): Admit {
  const { metrics, slowdown, log } = options;
  return async (link, connect) => {
    const outcome = await admit(options, link, connect).catch((error: unknown): Refusal => {
      log.error({ err: error }, 'an admission failed');
      return { decision: 'NONE', cause: 'FAILED' };
    });
    metrics.decided(outcome);
    if (isThrottled(outcome)) await slowdown.hold();
    if (outcome.decision !== 'GRANTED') log.debug({ clientId: connect.clientId, outcome }, 'refused');
    return outcome;
  };
}

function isThrottled(outcome: Admitted | Refusal): boolean {
  return outcome.decision === 'DENIED' && outcome.reason === DenyReason.THROTTLED;
}

/** The steps of one CONNECT. The session registers first and is looked at again before the device hears of it. */
async function admit(options: AdmissionOptions, link: Link, connect: Connect): Promise<Admitted | Refusal> {
  const { keepaliveS, enhanced, ...presented } = connect;
  if (keepaliveS < MIN_KEEPALIVE_S || keepaliveS > MAX_KEEPALIVE_S) return { decision: 'REFUSED', why: 'KEEPALIVE' };
  if (enhanced) return { decision: 'REFUSED', why: 'AUTH_METHOD' };

  const reading = readProof({ ...presented, chain: peerChain(link.conn) });
  if (reading.outcome === 'REFUSED') return { decision: 'REFUSED', why: reading.why };

  const { deviceId, proof } = reading;
  const askedAtMs = options.clock.monotonic();
  const decision = await ask(options, link, { deviceId, proof, source: sourceOf(link.conn) });
  if (decision.decision !== 'GRANTED') return decision;

  const session = sessionOf(options, link, deviceId, proof.kind?.case === 'certificate', decision);
  if (!register(options, link, session, askedAtMs)) return OVERTAKEN;

  watchExpiry(options, link, session, decision);
  return { ...decision, deviceId, session };
}

async function ask(options: AdmissionOptions, link: Link, question: Question): Promise<Decision> {
  // Without a place in the log, the change that ends this session might never be heard of.
  if (!options.watcher.placed) return NOT_FOLLOWING;
  if (!link.isOpen()) return OVERTAKEN; // gone already: nobody waits for an answer
  return options.auth.authenticate({ ...question, protocol: Protocol.MQTT });
}

function sessionOf(
  options: AdmissionOptions,
  link: Link,
  deviceId: DeviceId,
  byCertificate: boolean,
  { credentialId, revision, basis }: Grant,
): Session {
  return { deviceId, credentialId, revision, byCertificate, basis, close: kickOf(link, deviceId, options.log) };
}

/** Registers, looks again, and sees to it that the table forgets the session when its link ends. */
function register({ sessions }: AdmissionOptions, link: Link, session: Session, askedAtMs: number): boolean {
  if (!link.isOpen()) return false;
  if (!sessions.register(session, askedAtMs)) return false;
  link.conn.once('close', () => sessions.remove(session));
  return true;
}

function watchExpiry(options: AdmissionOptions, link: Link, session: Session, { expiresAtMs }: Grant): void {
  if (expiresAtMs === undefined) return;
  link.conn.once('close', expire(options.sessions, session, expiresAtMs - options.clock.now()));
}
