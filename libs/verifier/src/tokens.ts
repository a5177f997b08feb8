import { makeToken, TOKEN_LIFE_MS, type TokenKeys } from '@latchkey/credential';
import { type Clock, Secret } from '@latchkey/kernel';
import type { Answer, Question, Verifier } from './authenticate.ts';

/** A decision; the token is there when it was granted, and then the grant ends with it. */
export type Minting = { readonly answer: Answer; readonly token: Secret | undefined };

/** What tokens are made with. */
export type MintOptions = {
  readonly verifier: Pick<Verifier, 'authenticate'>;
  readonly keys: () => TokenKeys;
  readonly clock: Clock;
};

/**
 * Decides on a secret or a digest, and makes an access token of the grant: it stands for the credential until that is
 * reset or retired, the device's sessions are closed, or a day has passed. Rejects as `authenticate` does.
 */
export async function mintToken(question: Question, { verifier, keys, clock }: MintOptions): Promise<Minting> {
  const answer = await verifier.authenticate(question);
  const { decision } = answer;
  if (!decision.granted) return { answer, token: undefined };
  const endMs = clock.now() + TOKEN_LIFE_MS;
  const expiresAtMs = Math.min(decision.expiresAtMs ?? endMs, endMs);
  const { credentialId, sessionsClosedAt } = decision;
  const token = makeToken(question.deviceId, { credentialId, sessionsClosedAt, expiresAtMs }, keys());
  return { answer: { ...answer, decision: { ...decision, expiresAtMs } }, token: new Secret(token) };
}
