import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { type AuthenticateRequest, AuthenticateRequestSchema, PskProofSchema } from '@latchkey/protocol/v1';
import { RpcError, validate } from '@latchkey/rpc';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readQuestion } from './question.ts';

type RequestInit = MessageInitShape<typeof AuthenticateRequestSchema>;

const codeOf = (step: () => unknown): status => {
  try {
    step();
    return status.OK;
  } catch (error) {
    return error instanceof RpcError ? error.code : status.INTERNAL;
  }
};

/** Texts at the edges of a length, of one and of two UTF-16 units a character. */
const near = (limit: number) =>
  fc
    .tuple(fc.constantFrom('a', 'ä', '😀'), fc.integer({ min: limit - 1, max: limit + 1 }))
    .map(([character, length]) => character.repeat(length));
const texts = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 20 }), near(256), near(64), near(128), fc.constant(''));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 4 }),
  fc.constantFrom(0, 16_384, 16_385).map((size) => new Uint8Array(size)),
);
const digits = fc.oneof(fc.stringMatching(/^[0-9]{9,11}$/), fc.stringMatching(/^[0-9]{10}\n?$/), texts);
const hex = fc.oneof(fc.stringMatching(/^[0-9a-fA-F]{40}$/), fc.stringMatching(/^[0-9a-fA-F]{63,65}$/), texts);
const sized = (...sizes: readonly number[]) => fc.constantFrom(...sizes).map((size) => new Uint8Array(size));
const seeds = fc.oneof(
  sized(63, 64, 65).map((value) => ({ case: 'randoms' as const, value })),
  sized(31, 32, 48, 49).map((value) => ({ case: 'sessionHash' as const, value })),
  fc.constant({ case: undefined }),
);
const psk = fc.record({
  derivation: fc.record({
    ...{ identity: sized(0, 1, 256, 257), prf: fc.constantFrom(0, 1, 2, 3), seed: seeds },
    ecdheSecret: sized(0, 66, 67),
  }),
  transcriptHash: sized(31, 32, 48, 49),
  verifyData: sized(11, 12, 12, 13),
});
const kinds: fc.Arbitrary<NonNullable<MessageInitShape<typeof AuthenticateRequestSchema>['proof']>['kind']> = fc.oneof(
  fc
    .record({ signType: fc.nat(3), timestamp: digits, password: texts })
    .map((value) => ({ case: 'digest' as const, value })),
  texts.map((secret) => ({ case: 'secret' as const, value: { secret } })),
  fc.array(bytes, { maxLength: 9 }).map((chain) => ({ case: 'certificate' as const, value: { chain } })),
  hex.map((fingerprint) => ({ case: 'fingerprint' as const, value: { fingerprint } })),
  texts.map((token) => ({ case: 'token' as const, value: { token } })),
  psk.map((value) => ({
    case: 'psk' as const,
    value: create(PskProofSchema, value as MessageInitShape<typeof PskProofSchema>),
  })),
  fc.constant({ case: 'psk' as const, value: {} }),
  fc.constant({ case: undefined }),
);
const requests: fc.Arbitrary<AuthenticateRequest> = fc
  .record({
    deviceId: fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/), texts),
    protocol: fc.constantFrom(1, 2, 3, 1, 2, 3, 0, 4, -1),
    source: texts,
    proof: fc.option(fc.record({ kind: kinds }), { nil: undefined }),
  })
  .map(({ proof, ...rest }) =>
    create(AuthenticateRequestSchema, (proof === undefined ? rest : { ...rest, proof }) as RequestInit),
  );

test('what is checked by hand is what the proto file demands', () => {
  fc.assert(
    fc.property(requests, (request) => {
      const demanded = codeOf(() => validate(AuthenticateRequestSchema, request));
      expect(codeOf(() => readQuestion(request))).toBe(demanded);
    }),
    { numRuns: 3_000 },
  );
});

test('a proof in a text of 256 characters beyond U+FFFF is read', () => {
  const secret = '😀'.repeat(256);
  const proof = { kind: { case: 'secret' as const, value: { secret } } };
  const question = readQuestion(create(AuthenticateRequestSchema, { deviceId: 'a', protocol: 1, proof }));
  expect(question.proof).toMatchObject({ kind: 'SECRET' });
});
