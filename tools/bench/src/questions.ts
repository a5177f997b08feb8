import { StoreUnavailable } from '@latchkey/store';
import { type Answer, NoDecision, type Question, type Verifier } from '@latchkey/verifier';
import { deviceIdOf, proofOf } from './devices.ts';

/** Of so many questions one has a wrong proof, which must be denied. */
const WRONG_EVERY = 100;

/** Each waits for the lease for most of a second. */
const MAX_TRIES = 20;

/** What a device asks by MQTT, and whether it is to be let in. */
export type Trial = { readonly question: Question; readonly right: boolean };

/** The device's question with its right proof. */
export function questionOf(index: number, timestamp: string) {
  const proof = { kind: 'DIGEST', ...proofOf(index, timestamp) } as const;
  return { deviceId: deviceIdOf(index), protocol: 'MQTT', proof } as const;
}

/**
 * Questions of these devices; each hundredth shows another device's proof, and comes from an address of its own, or a device
 * that asks often would be throttled.
 */
export function trialsOf(indexes: Iterable<number>, timestamp: string): readonly Trial[] {
  return Array.from(indexes, (index, at) => {
    const right = at % WRONG_EVERY !== 0;
    const { proof } = questionOf(right ? index : index + 1, timestamp);
    const source = right ? '192.0.2.1' : `2001:db8::${at.toString(16)}`;
    return { question: { ...questionOf(index, timestamp), proof, source }, right };
  });
}

/** Throws unless the answer is what it has to be. */
export function checkAnswer({ question, right }: Trial, { decision }: Answer): void {
  const fine = right ? decision.granted : !decision.granted && decision.reason === 'SECRET_MISMATCH';
  if (!fine)
    throw new Error(
      `a ${right ? 'right' : 'wrong'} proof of ${question.deviceId} was answered ${JSON.stringify(decision)}`,
    );
}

/**
 * The decision, asked for again where none could be made: on a machine that is too busy the lease may be lost for a
 * moment, or Redis be late. Rejects after so many tries.
 */
export async function decided(verifier: Verifier, question: Question): Promise<Answer & { readonly tries: number }> {
  for (let tries = 1; ; tries++) {
    try {
      return { ...(await verifier.authenticate(question)), tries };
    } catch (error) {
      const isPassing = error instanceof NoDecision || error instanceof StoreUnavailable;
      if (!isPassing || tries === MAX_TRIES) throw error;
    }
  }
}
