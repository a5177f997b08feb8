import type { AuthClient } from '@latchkey/gateway-kit';
import { DenyReason } from '@latchkey/protocol/v1';
import { expect, test } from 'vitest';
import { reconnectAll, visitsOf } from './reconnects.ts';

const GRANTED = {
  decision: 'GRANTED',
  credentialId: 'c',
  revision: 1n,
  expiresAtMs: undefined,
  basis: new Uint8Array(),
} as const;
const denied = (reason: DenyReason) => ({ decision: 'DENIED', reason }) as const;
const none = (cause: 'OVERLOADED' | 'DEADLINE') => ({ decision: 'NONE', cause }) as const;

/** Answers one after another, whoever asks. */
function answering(...answers: readonly Awaited<ReturnType<AuthClient['authenticate']>>[]): AuthClient {
  const left = [...answers];
  return { authenticate: async () => left.shift() ?? GRANTED } as Partial<AuthClient> as AuthClient;
}

const [wrong, right] = visitsOf(2, '2026010100');
if (wrong === undefined || right === undefined) throw new Error('two devices make two visits');

test('of fifty devices one shows the proof of another one', () => {
  expect(visitsOf(101, '2026010100').flatMap((visit, index) => (visit.right ? [] : [index]))).toEqual([0, 50, 100]);
});

test('a right proof is to be granted, a wrong one denied as such', async () => {
  const fine = answering(denied(DenyReason.SECRET_MISMATCH), GRANTED);
  await expect(reconnectAll(fine, [wrong, right], () => undefined)).resolves.toMatchObject({ wrong: 0 });
  const turned = answering(GRANTED, denied(DenyReason.SECRET_MISMATCH));
  await expect(reconnectAll(turned, [wrong, right], () => undefined)).resolves.toMatchObject({ wrong: 2 });
  const otherwise = answering(denied(DenyReason.UNKNOWN_DEVICE));
  await expect(reconnectAll(otherwise, [wrong], () => undefined)).resolves.toMatchObject({ wrong: 1 });
});

test('who gets no decision comes again, and its time counts from the first question', { timeout: 20_000 }, async () => {
  const times: number[] = [];
  const auth = answering(none('OVERLOADED'), none('DEADLINE'), GRANTED);
  const aftermath = await reconnectAll(auth, [right], (ms) => times.push(ms));
  expect(aftermath).toMatchObject({ wrong: 0, shed: 1, undecided: 1 });
  expect(times).toHaveLength(1);
  expect(times[0]).toBeGreaterThan(900);
  expect(aftermath.drainMs).toBeGreaterThanOrEqual(times[0] ?? Number.POSITIVE_INFINITY);
});
