import { denied } from '@latchkey/credential';
import { toCredentialId, toRevision } from '@latchkey/kernel';
import type { Answer } from '@latchkey/verifier';
import { expect, test } from 'vitest';
import { checkAnswer, trialsOf } from './questions.ts';

const [wrong, right] = trialsOf([7, 8], '2026010100');
if (wrong === undefined || right === undefined) throw new Error('two devices make two trials');

const grant: Answer['decision'] = {
  granted: true,
  slot: 'PRIMARY',
  credentialId: toCredentialId(new Uint8Array(12)),
  revision: toRevision(1),
  sessionsClosedAt: toRevision(0),
  activatedNow: false,
  expiresAtMs: undefined,
  basis: undefined,
};

test('only a grant will do for a right proof, and only its denial for a wrong one', () => {
  expect([wrong.right, right.right]).toEqual([false, true]);
  checkAnswer(right, { decision: grant, cacheAgeMs: 0 });
  checkAnswer(wrong, { decision: denied('SECRET_MISMATCH'), cacheAgeMs: 0 });
  expect(() => checkAnswer(wrong, { decision: grant, cacheAgeMs: 0 })).toThrow(/wrong proof/);
  expect(() => checkAnswer(right, { decision: denied('SECRET_MISMATCH'), cacheAgeMs: 0 })).toThrow(/right proof/);
  expect(() => checkAnswer(wrong, { decision: denied('THROTTLED'), cacheAgeMs: 0 })).toThrow(/wrong proof/);
});

test('a device that asks often is not throttled for its wrong proofs', () => {
  const sources = trialsOf(Array.from({ length: 1_000 }).fill(3) as number[], '2026010100').flatMap((trial) =>
    trial.right ? [] : [trial.question.source],
  );
  expect(sources).toHaveLength(10);
  expect(new Set(sources).size).toBe(10);
});
