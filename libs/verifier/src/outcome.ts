import {
  type Basis,
  type BindVerdict,
  type Decision,
  type DeviceRecord,
  denied,
  type GrantVerdict,
  leavesTrace,
  type Verdict,
} from '@latchkey/credential';
import { basisOf, type TrustSighting } from './trust.ts';

/** What must be written before the verdict is answered. */
export function dueWrite(verdict: Verdict): BindVerdict | GrantVerdict | undefined {
  return verdict.kind === 'BIND' || (verdict.kind === 'GRANT' && leavesTrace(verdict)) ? verdict : undefined;
}

/** What a grant by certificate rests on besides the record. */
export function basisFor(verdict: Verdict, trust: TrustSighting): Basis | undefined {
  return verdict.kind === 'GRANT' ? basisOf(trust, verdict.caIds) : undefined;
}

/** The verdict as an answer. Throws on a binding: it is written before it is decided on. */
export function decisionOf(
  verdict: Verdict,
  record: DeviceRecord | undefined,
  { activatedNow, basis }: { readonly activatedNow: boolean; readonly basis: Basis | undefined },
): Decision {
  if (verdict.kind === 'DENY') return denied(verdict.reason);
  if (verdict.kind === 'BIND' || record === undefined) throw new Error('a binding is written before it is decided on');
  const { slot, credentialId, expiresAtMs } = verdict;
  const { revision, sessionsClosedAt } = record;
  return { granted: true, slot, credentialId, revision, sessionsClosedAt, activatedNow, expiresAtMs, basis };
}
