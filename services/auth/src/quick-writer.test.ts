import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { AuthenticateResponseSchema, AuthenticateStreamResponseSchema } from '@latchkey/protocol/v1';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { knownAnswers, knownDecision, writeAnswers, writeDecision } from './quick-writer.ts';

type DecisionInit = MessageInitShape<typeof AuthenticateResponseSchema>;

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const credentialId = fc.uint8Array({ minLength: 12, maxLength: 12 }).map((id) => Buffer.from(id).toString('base64url'));
const granted = fc.record({
  credentialId,
  slot: fc.constantFrom(0, 1, 2),
  revision: fc.bigInt({ min: 0n, max: BigInt(Number.MAX_SAFE_INTEGER) }),
  activatedNow: fc.boolean(),
});
const decisions = fc
  .record({
    cacheAgeMs: uint32,
    decision: fc.oneof(
      granted.map((value) => ({ case: 'granted' as const, value })),
      fc.nat(17).map((reason) => ({ case: 'denied' as const, value: { reason } })),
    ),
  })
  .map((init) => create(AuthenticateResponseSchema, init as DecisionInit));
const results = fc.oneof(
  decisions.map((value) => ({ case: 'decision' as const, value })),
  uint32.map((value) => ({ case: 'noDecision' as const, value })),
);
const batches = fc
  .array(fc.record({ number: uint32, result: results }), { maxLength: 300 })
  .map((answers) => create(AuthenticateStreamResponseSchema, { answers }));

test('what most devices hear is written by hand, byte for byte as the generated code writes it', () => {
  fc.assert(
    fc.property(decisions, batches, (decision, batch) => {
      expect(knownDecision(decision)).toEqual(Buffer.from(toBinary(AuthenticateResponseSchema, decision)));
      const bytes = Buffer.from(toBinary(AuthenticateStreamResponseSchema, batch));
      expect(knownAnswers(batch)).toEqual(batch.answers.length > 256 ? undefined : bytes);
      expect(writeAnswers(batch)).toEqual(bytes);
    }),
    { numRuns: 200 },
  );
});

test.each<[string, DecisionInit['decision']]>([
  ['a grant with an end', { case: 'granted', value: { credentialId: 'x'.repeat(16), expiresAt: timestampFromMs(1) } }],
  ['a grant by certificate', { case: 'granted', value: { credentialId: 'x'.repeat(16), basis: new Uint8Array([1]) } }],
  ['another credential id', { case: 'granted', value: { credentialId: 'ä' } }],
  ['no decision', { case: undefined }],
])('%s is left to the generated code', (_, decision) => {
  const response = create(AuthenticateResponseSchema, { decision: decision ?? { case: undefined } });
  expect(knownDecision(response)).toBeUndefined();
  expect(fromBinary(AuthenticateResponseSchema, new Uint8Array(writeDecision(response)))).toEqual(response);
  const batch = create(AuthenticateStreamResponseSchema, {
    answers: [{ number: 7, result: { case: 'decision', value: response } }],
  });
  expect(knownAnswers(batch)).toBeUndefined();
  expect(fromBinary(AuthenticateStreamResponseSchema, new Uint8Array(writeAnswers(batch)))).toEqual(batch);
});
