import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  type DeviceState,
  generateSecret,
  heldIn,
  promoteSecondary,
  type Refusal,
  resetFingerprint,
  resetSecret,
} from '@latchkey/credential';
import { CREDENTIAL_ID_BYTES, type CredentialId, Secret, toCredentialId } from '@latchkey/kernel';
import {
  type CredentialService,
  type PromoteSecondaryRequest,
  PromoteSecondaryRequestSchema,
  type PromoteSecondaryResponse,
  PromoteSecondaryResponseSchema,
  type ResetCredentialRequest,
  ResetCredentialRequestSchema,
  type ResetCredentialResponse,
  ResetCredentialResponseSchema,
  type TryProofRequest,
  type TryProofResponse,
  TryProofResponseSchema,
} from '@latchkey/protocol/v1';
import { operatorOf } from './caller.ts';
import { slotOf, toCredential, toDecision, toDevice } from './convert.ts';
import type { Ports } from './ports.ts';
import { readQuestion } from './question.ts';
import { rotationReport } from './report.ts';
import { accepted, existing, madeSlot, sameSecret, writeHead } from './request.ts';
import { retireCredentials } from './retirement.ts';
import { superseded, writeRecord } from './writes.ts';

/** CredentialService, all of it. */
export function credentialService(ports: Ports): ServiceImpl<typeof CredentialService> {
  return {
    resetCredential: (request, context) => reset(ports, request, operatorOf(context)),
    retireCredential: (request, context) => retireCredentials(ports, request, operatorOf(context)),
    promoteSecondary: (request, context) => promote(ports, request, operatorOf(context)),
    getRotationReport: (request) => rotationReport(ports, request),
    tryProof: (request) => tryProof(ports, request),
  };
}

async function reset(
  ports: Ports,
  request: ResetCredentialRequest,
  operator: string,
): Promise<ResetCredentialResponse> {
  const head = writeHead(ResetCredentialRequestSchema, request, operator);
  const slot = slotOf(request.slot);
  const credentialId = toCredentialId(ports.random(CREDENTIAL_ID_BYTES));
  const next = nextState(ports, request, credentialId);
  const arms = request.credential.case === 'fingerprint' && request.credential.value.kind.case === 'trustOnFirstUse';
  const made = arms ? undefined : credentialId;
  const written = await writeRecord(ports, {
    ...head,
    plan: (record) => ({
      state: accepted(next(existing(record, head.deviceId))),
      kind: 'RESET',
      effect: { close: request.forceDisconnect ? 'DEVICE' : 'NONE' },
      credentialId: made,
    }),
  });
  const { record, held } = madeSlot(written, slot, made);
  const response = create(ResetCredentialResponseSchema, {
    credential: toCredential(record, slot),
    revision: BigInt(written.revision),
  });
  if (held.state === 'SET' && 'secret' in held) {
    sameSecret(request.credential.case === 'secret' ? request.credential.value.value : undefined, held.secret);
    response.secret = held.secret.reveal();
  }
  return response;
}

type NextState = (state: DeviceState) => DeviceState | Refusal;

/** The reset as a step from state to state. A generated secret is drawn once, however often the write is tried. */
function nextState(ports: Ports, { credential, slot }: ResetCredentialRequest, credentialId: CredentialId): NextState {
  const nowMs = ports.clock.now();
  if (credential.case === 'secret') {
    const given = credential.value.value === undefined ? undefined : new Secret(credential.value.value);
    const generated = { TEXT: generateSecret(ports.random, 'TEXT'), HEX: generateSecret(ports.random, 'HEX') };
    return (state) => {
      const format = state.credentials.kind === 'SECRET' ? state.credentials.format : 'TEXT';
      return resetSecret(state, slotOf(slot), { credentialId, secret: given ?? generated[format], nowMs });
    };
  }
  const fingerprint = credential.value?.kind.case === 'value' ? credential.value.kind.value : undefined;
  const next =
    fingerprint === undefined ? { trustOnFirstUse: true as const, nowMs } : { credentialId, fingerprint, nowMs };
  return (state) => resetFingerprint(state, slotOf(slot), next);
}

async function promote(
  ports: Ports,
  request: PromoteSecondaryRequest,
  operator: string,
): Promise<PromoteSecondaryResponse> {
  const { record: after, replay } = await writeRecord(ports, {
    ...writeHead(PromoteSecondaryRequestSchema, request, operator),
    plan: (found) => {
      const record = existing(found, request.deviceId);
      return {
        state: accepted(promoteSecondary(record)),
        kind: 'PROMOTED',
        effect: { close: 'NONE' },
        credentialId: heldIn(record, 'SECONDARY')?.credentialId,
      };
    },
  });
  if (replay !== undefined && (after && heldIn(after, 'PRIMARY')?.credentialId) !== replay.credentialId)
    throw superseded();
  return create(PromoteSecondaryResponseSchema, { device: toDevice(existing(after, request.deviceId)) });
}

async function tryProof({ verifier }: Ports, { attempt }: TryProofRequest): Promise<TryProofResponse> {
  if (attempt === undefined) throw new Error('validation lets no request without attempt through');
  const { decision, wouldActivate, wouldBind } = await verifier.tryProof(readQuestion(attempt));
  return create(TryProofResponseSchema, { decision: toDecision(decision), wouldActivate, wouldBind });
}
