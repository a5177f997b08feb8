import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Attempt, DtlsServerOptions, PskDerivation, Verdict } from '@latchkey/dtls';
import type { AuthClient, ChangeWatcher, Decision, GatewayMetrics, Grant } from '@latchkey/gateway-kit';
import type { Clock, DeviceId } from '@latchkey/kernel';
import { type ProofSchema, Protocol } from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import { alertTo } from './answer.ts';
import { certificateProof, derivationMessage, pskProof } from './proof.ts';

/** What an admission needs. */
export type AdmissionOptions = {
  readonly auth: Pick<AuthClient, 'authenticate' | 'derivePskSecret'>;
  readonly watcher: Pick<ChangeWatcher, 'placed'>;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
  readonly log: Log;
};

type Proof = MessageInitShape<typeof ProofSchema>;

/** A device that was granted, and when that was asked. */
export type Device = {
  readonly kind: 'DEVICE';
  readonly deviceId: DeviceId;
  /** What it called itself in the handshake; undefined: it showed a certificate. */
  readonly identity: Buffer | undefined;
  readonly grant: Grant;
  /** On the monotonic clock. */
  readonly askedAtMs: number;
};

/** A client that holds the key of a certificate and has not said which device it is. */
export type Nameless = { readonly kind: 'NAMELESS'; readonly proof: Proof };

/** Who may open a session. */
export type Admitted = Device | Nameless;

/** Decides about DTLS handshakes and, where a certificate names no device, about the first request. */
export type Admission = {
  /** The master secrets of a handshake. Rejects when they are not to be had. */
  readonly derive: NonNullable<DtlsServerOptions<Admitted>['derive']>;
  /** Never rejects. */
  readonly admit: (attempt: Attempt) => Promise<Verdict<Admitted>>;
  /** Asks whether a client with a certificate is this device. Never rejects. */
  readonly name: (deviceId: DeviceId, proof: Proof, source: string) => Promise<Device | Exclude<Decision, Grant>>;
};

type Question = { readonly deviceId: DeviceId; readonly proof: Proof; readonly source: string };

const NOT_FOLLOWING = { decision: 'NONE', cause: 'NOT_FOLLOWING' } as const;

/** Makes the decisions, counts and logs their outcomes. */
export function createAdmission(options: AdmissionOptions): Admission {
  // Whom a derivation was for, until its handshake is over.
  const devices = new WeakMap<PskDerivation, DeviceId>();
  const { auth, metrics, log } = options;
  const decide = async (question: Question, identity: Buffer | undefined) => {
    const outcome = await ask(options, question, identity);
    metrics.decided(outcome.kind === 'DEVICE' ? outcome.grant : outcome.refusal);
    if (outcome.kind === 'REFUSED') log.debug({ deviceId: question.deviceId, outcome: outcome.refusal }, 'refused');
    return outcome;
  };
  return {
    derive: async (derivation, peer) => {
      const derived = await auth.derivePskSecret({
        derivation: derivationMessage(derivation),
        source: sourceOf(peer.address),
      });
      if (derived.decision === 'NONE') {
        metrics.decided(derived);
        throw new Error('no master secret was to be had');
      }
      if (derived.deviceId !== undefined) devices.set(derivation, derived.deviceId);
      return derived.masterSecrets;
    },
    admit: async ({ proof, peer }) => {
      if (proof.kind === 'CERTIFICATE') return admitChain(certificateProof(proof));
      const deviceId = devices.get(proof.derivation);
      // A secret of chance that was hit by chance.
      if (deviceId === undefined) return { isGranted: false, alert: 'DECRYPT_ERROR' };
      const question = { deviceId, proof: pskProof(proof), source: sourceOf(peer.address) };
      const outcome = await decide(question, Buffer.from(proof.derivation.identity));
      if (outcome.kind === 'DEVICE') return { isGranted: true, grant: outcome };
      return { isGranted: false, alert: alertTo(outcome.refusal) };
    },
    name: async (deviceId, proof, source) => {
      const outcome = await decide({ deviceId, proof, source }, undefined);
      return outcome.kind === 'DEVICE' ? outcome : outcome.refusal;
    },
  };
}

function admitChain(proof: Proof | undefined): Verdict<Admitted> {
  if (proof === undefined) return { isGranted: false, alert: 'DECRYPT_ERROR' };
  return { isGranted: true, grant: { kind: 'NAMELESS', proof } };
}

type Outcome = Device | { readonly kind: 'REFUSED'; readonly refusal: Exclude<Decision, Grant> };

async function ask(options: AdmissionOptions, question: Question, identity: Buffer | undefined): Promise<Outcome> {
  // Without a place in the log, the change that ends this session might never be heard of.
  if (!options.watcher.placed) return { kind: 'REFUSED', refusal: NOT_FOLLOWING };
  const askedAtMs = options.clock.monotonic();
  const decision = await options.auth.authenticate({ ...question, protocol: Protocol.COAP });
  if (decision.decision !== 'GRANTED') return { kind: 'REFUSED', refusal: decision };
  return { kind: 'DEVICE', deviceId: question.deviceId, identity, grant: decision, askedAtMs };
}

/** A peer's address; IPv4 in its own form, though it came over an IPv6 socket. */
export function sourceOf(address: string): string {
  return address.replace(/^::ffff:(?=[0-9.]+$)/, '');
}
