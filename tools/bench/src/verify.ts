import { createHmac, timingSafeEqual } from 'node:crypto';
import { DEFAULT_SETTINGS, digestOf } from '@latchkey/credential';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { type Question, Verifier } from '@latchkey/verifier';
import { LRUCache } from 'lru-cache';
import { deviceIdOf, secretOf, timestampOf } from './devices.ts';
import { alternate, cpuNs, figureOf, type Round, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { questionOf } from './questions.ts';
import { recordSource } from './record-source.ts';
import { seededUniform, zipfIndexes } from './zipf.ts';

const SIZES = {
  full: { devices: 1_000_000, perRound: 200_000, rounds: 25 },
  quick: { devices: 200_000, perRound: 50_000, rounds: 15 },
};
const AIM = { bound: 'at_most', value: 1.2 } as const;
const SEED = 1;

/** Devices warmed between two looks at the event loop: the reads of a batch are under way together. */
const WARM_BATCH = 1_000;

/** A question, and the password's bytes, which the bare side need not make. */
type Prepared = { readonly question: Question; readonly password: Buffer };

/**
 * A warm decision of the verifier, against nothing but its LRU get, HMAC and constant-time compare; CPU by operation. The
 * HMAC is that of node:crypto, and beside it stands the service's own, which is cheaper.
 */
export const verifySuite: Suite = async (plan) => {
  const { devices, perRound, rounds } = sizeOf(plan, SIZES);
  plan.say(`verify: ${devices} devices, ${rounds} rounds of ${perRound}`);
  const timestamp = timestampOf(systemClock.now());
  const prepared = prepare(perRound, devices, timestamp);
  const secrets = new LRUCache<string, string>({ max: devices });
  for (let index = 0; index < devices; index++) secrets.set(deviceIdOf(index), secretOf(index));
  const verifier = await warmVerifier(devices, timestamp);
  const byObject = (secret: string) => createHmac('sha256', timestamp).update(secret).digest('hex');
  const byOneShot = (secret: string) => digestOf(1, timestamp, secret);
  const sides = {
    bare: () => bareRound(secrets, byObject, prepared),
    oneShot: () => bareRound(secrets, byOneShot, prepared),
    decision: () => decisionRound(verifier, prepared),
  };
  const turns = await alternate(rounds, sides, (turn) =>
    plan.say(`verify: bare ${cpuNs(turn.bare).toFixed(0)} ns, decision ${cpuNs(turn.decision).toFixed(0)} ns`),
  );
  await verifier.close();
  const bare = figureOf(turns.map((turn) => cpuNs(turn.bare)));
  const oneShot = figureOf(turns.map((turn) => cpuNs(turn.oneShot)));
  const decision = figureOf(turns.map((turn) => cpuNs(turn.decision)));
  return {
    ratios: {
      verify_over_bare: ratioOf(
        turns.map((turn) => cpuNs(turn.decision) / cpuNs(turn.bare)),
        AIM,
      ),
    },
    rates: {
      verify_over_bare_one_shot: figureOf(turns.map((turn) => cpuNs(turn.decision) / cpuNs(turn.oneShot))),
      bare_cpu_ns_per_operation: bare,
      bare_one_shot_cpu_ns_per_operation: oneShot,
      decision_cpu_ns_per_operation: decision,
    },
    bars: {
      verify_cpu: {
        title: 'A decision in process, and what it cannot do without',
        axis: 'CPU time, ns per operation',
        bars: {
          'LRU get, HMAC, compare': bare,
          "the same with the service's HMAC": oneShot,
          'decision from memory': decision,
        },
      },
    },
  };
};

function prepare(count: number, devices: number, timestamp: string): readonly Prepared[] {
  return Array.from(zipfIndexes(count, devices, seededUniform(SEED)), (index) => {
    // A new string for each question, as one off the wire is: it is not the cache's own key.
    const question = questionOf(index, timestamp);
    return { question, password: Buffer.from(question.proof.password, 'latin1') };
  });
}

async function warmVerifier(devices: number, timestamp: string): Promise<Verifier> {
  const verifier = new Verifier({
    store: recordSource((deviceId) => Number(deviceId.slice(deviceId.lastIndexOf('-') + 1))),
    clock: systemClock,
    random: systemRandom,
    settings: DEFAULT_SETTINGS,
    maxRecords: devices,
  });
  for (let index = 0; index < devices; index += WARM_BATCH) {
    const batch = Array.from({ length: Math.min(WARM_BATCH, devices - index) }, (_, offset) => index + offset);
    await Promise.all(batch.map((each) => verifier.authenticate(questionOf(each, timestamp))));
  }
  return verifier;
}

function bareRound(
  secrets: LRUCache<string, string>,
  hmac: (secret: string) => string,
  prepared: readonly Prepared[],
): Round {
  const computed = Buffer.alloc(64);
  return measured(prepared, ({ question, password }) => {
    const secret = secrets.get(question.deviceId) ?? '';
    computed.write(hmac(secret), 'latin1');
    return timingSafeEqual(computed, password);
  });
}

function decisionRound(verifier: Verifier, prepared: readonly Prepared[]): Round {
  return measured(prepared, ({ question }) => {
    const answer = verifier.authenticate(question);
    return !(answer instanceof Promise) && answer.decision.granted;
  });
}

function measured(prepared: readonly Prepared[], isRight: (each: Prepared) => boolean): Round {
  const [before, begunMs] = [process.cpuUsage(), performance.now()];
  let wrong = 0;
  for (const each of prepared) if (!isRight(each)) wrong++;
  const [wallMs, { user, system }] = [performance.now() - begunMs, process.cpuUsage(before)];
  if (wrong > 0) throw new Error(`${wrong} of ${prepared.length} right proofs were not granted from memory`);
  return { operations: prepared.length, cpuUs: user + system, wallMs };
}
