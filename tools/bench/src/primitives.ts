import { createCipheriv, createDecipheriv, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { digestOf } from '@latchkey/credential';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { AuthenticateRequestSchema, AuthenticateResponseSchema, Slot } from '@latchkey/protocol/v1';
import { LRUCache } from 'lru-cache';
import { attemptOf, encoded } from './attempts.ts';
import { deviceIdOf, secretOf, timestampOf } from './devices.ts';
import { alternate, cpuNs, figureOf, type Round } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { seededUniform, zipfIndexes } from './zipf.ts';

const SIZES = {
  full: { devices: 1_000_000, perRound: 100_000, rounds: 25 },
  quick: { devices: 1_000_000, perRound: 50_000, rounds: 9 },
};
const SEED = 3;

/** AES-256-GCM as secrets are sealed with it. */
const CIPHER = 'aes-256-gcm';
const [KEY_BYTES, NONCE_BYTES, CREDENTIAL_ID_BYTES] = [32, 12, 16];

/** What the plot calls them. */
const LABELS: Readonly<Record<string, string>> = {
  lru_get_zipf: 'LRU get, devices by Zipf',
  lru_get_uniform: 'LRU get, any device',
  hmac_sha256_one_shot: 'HMAC-SHA256, two one-shot hashes',
  hmac_sha256_create_hmac: 'HMAC-SHA256, createHmac',
  timing_safe_equal: 'timingSafeEqual',
  aes_gcm_open: 'AES-256-GCM, open a secret',
  request_decode: 'AuthenticateRequest, decode',
  request_encode: 'AuthenticateRequest, encode',
  response_decode: 'AuthenticateResponse, decode',
  response_encode: 'AuthenticateResponse, encode',
};

/** Does something once, for the operation with this number; answers something that must not be 0. */
type Operation = (index: number) => number;

/** What a decision is made of, each part alone: CPU time of one operation, in this process. */
export const primitivesSuite: Suite = async (plan) => {
  const { devices, perRound, rounds } = sizeOf(plan, SIZES);
  plan.say(`primitives: ${devices} entries, ${rounds} rounds of ${perRound} for each`);
  const timestamp = timestampOf(systemClock.now());
  const operations: Readonly<Record<string, Operation>> = {
    ...lruGets(devices, perRound),
    ...hmacs(timestamp),
    timing_safe_equal: equals(timestamp),
    aes_gcm_open: openings(),
    ...codec(timestamp),
  };
  const sides = Object.entries(operations).map(
    ([name, operation]) => [name, () => roundOf(operation, perRound)] as const,
  );
  const found = await alternate<Readonly<Record<string, Round>>>(rounds, Object.fromEntries(sides), (each) => {
    const shown = Object.entries(each).map(([name, round]) => `${name} ${cpuNs(round).toFixed(0)}`);
    plan.say(`primitives: ns: ${shown.join(', ')}`);
  });
  const figures = Object.keys(operations).map((name) => {
    return [name, figureOf(found.flatMap(({ [name]: round }) => (round === undefined ? [] : [cpuNs(round)])))] as const;
  });
  return {
    ratios: {},
    rates: Object.fromEntries(figures.map(([name, figure]) => [`${name}_cpu_ns`, figure])),
    bars: {
      primitives_cpu: {
        title: 'What a decision is made of',
        axis: 'CPU time, ns per operation',
        bars: Object.fromEntries(figures.map(([name, figure]) => [LABELS[name] ?? name, figure])),
      },
    },
  };
};

function roundOf(operation: Operation, count: number): Round {
  const [before, begunMs] = [process.cpuUsage(), performance.now()];
  let wrong = 0;
  for (let index = 0; index < count; index++) if (operation(index) === 0) wrong++;
  const [wallMs, { user, system }] = [performance.now() - begunMs, process.cpuUsage(before)];
  if (wrong > 0) throw new Error(`${wrong} of ${count} operations came to nothing`);
  return { operations: count, cpuUs: user + system, wallMs };
}

/** Keys are strings of their own, as those off the wire are, and not the cache's. */
function lruGets(devices: number, perRound: number): Readonly<Record<string, Operation>> {
  const cache = new LRUCache<string, string>({ max: devices });
  for (let index = 0; index < devices; index++) cache.set(deviceIdOf(index), secretOf(index));
  const uniform = seededUniform(SEED);
  const zipf = Array.from(zipfIndexes(perRound, devices, uniform), deviceIdOf);
  const even = Array.from({ length: perRound }, () => deviceIdOf(Math.floor(uniform() * devices)));
  const get = (keys: readonly string[]) => (index: number) => cache.get(keys[index % keys.length] ?? '')?.length ?? 0;
  return { lru_get_zipf: get(zipf), lru_get_uniform: get(even) };
}

function hmacs(timestamp: string): Readonly<Record<string, Operation>> {
  const secrets = Array.from({ length: 1_000 }, (_, index) => secretOf(index));
  const secret = (index: number) => secrets[index % secrets.length] ?? '';
  return {
    hmac_sha256_one_shot: (index) => digestOf(1, timestamp, secret(index)).length,
    hmac_sha256_create_hmac: (index) => createHmac('sha256', timestamp).update(secret(index)).digest('hex').length,
  };
}

function equals(timestamp: string): Operation {
  const [left, right] = [1, 1].map((index) => Buffer.from(digestOf(1, timestamp, secretOf(index)), 'latin1'));
  if (left === undefined || right === undefined) throw new Error('nothing to compare');
  return () => (timingSafeEqual(left, right) ? 1 : 0);
}

function openings(): Operation {
  const [key, nonce, bound] = [KEY_BYTES, NONCE_BYTES, CREDENTIAL_ID_BYTES].map(systemRandom);
  if (key === undefined || nonce === undefined || bound === undefined) throw new Error('nothing to seal with');
  const keyObject = createSecretKey(key);
  const sealing = createCipheriv(CIPHER, keyObject, nonce).setAAD(bound);
  const sealed = Buffer.concat([sealing.update(secretOf(1), 'latin1'), sealing.final()]);
  const tag = sealing.getAuthTag();
  return () => {
    const opening = createDecipheriv(CIPHER, keyObject, nonce).setAAD(bound).setAuthTag(tag);
    return opening.update(sealed).length + opening.final().length;
  };
}

/** By the generated code; the service reads and writes what is hot by hand. */
function codec(timestamp: string): Readonly<Record<string, Operation>> {
  const attempt = attemptOf(1, timestamp);
  const request = encoded(attempt);
  const granted = { slot: Slot.PRIMARY, credentialId: 'A'.repeat(22), revision: 12_345n };
  const response = create(AuthenticateResponseSchema, {
    decision: { case: 'granted', value: granted },
    cacheAgeMs: 250,
  });
  const answer = toBinary(AuthenticateResponseSchema, response);
  return {
    request_decode: () => fromBinary(AuthenticateRequestSchema, request).deviceId.length,
    request_encode: () => toBinary(AuthenticateRequestSchema, attempt).length,
    response_decode: () => fromBinary(AuthenticateResponseSchema, answer).cacheAgeMs,
    response_encode: () => toBinary(AuthenticateResponseSchema, response).length,
  };
}
