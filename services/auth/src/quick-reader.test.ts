import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  AuthenticateRequestSchema,
  AuthenticateStreamRequestSchema,
  CertificateProofSchema,
  Protocol,
} from '@latchkey/protocol/v1';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { knownAttempt, knownAttempts, readAttempt, readAttempts } from './quick-reader.ts';

type RequestInit = MessageInitShape<typeof AuthenticateRequestSchema>;
type Kind = NonNullable<RequestInit['proof']>['kind'];

const ascii = fc.string({ unit: 'binary-ascii', maxLength: 300 });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const plainKinds: fc.Arbitrary<Kind> = fc.oneof(
  fc
    .record({ signType: uint32, timestamp: ascii, password: ascii })
    .map((value) => ({ case: 'digest' as const, value })),
  ascii.map((secret) => ({ case: 'secret' as const, value: { secret } })),
  ascii.map((token) => ({ case: 'token' as const, value: { token } })),
);
const attempts = fc
  .record({
    deviceId: ascii,
    source: ascii,
    kind: plainKinds,
    protocol: fc.constantFrom(...Object.values(Protocol).filter((value) => typeof value === 'number')),
  })
  .map(({ kind, ...rest }) => create(AuthenticateRequestSchema, { ...rest, proof: { kind } } as RequestInit));
const batches = fc
  .array(fc.record({ number: uint32, attempt: attempts }), { maxLength: 5 })
  .map((questions) => create(AuthenticateStreamRequestSchema, { questions }));

const bytesOf = (bytes: Uint8Array) => Buffer.from(bytes);

/** What a reader gives, or that it throws. */
function outcome<T>(read: () => T): T | 'throws' {
  try {
    return read();
  } catch {
    return 'throws';
  }
}

test('what gateways send is read by hand, and as the generated code reads it', () => {
  fc.assert(
    fc.property(attempts, batches, (attempt, batch) => {
      expect(knownAttempt(bytesOf(toBinary(AuthenticateRequestSchema, attempt)))).toEqual(attempt);
      expect(knownAttempts(bytesOf(toBinary(AuthenticateStreamRequestSchema, batch)))).toEqual(batch);
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['a batch', batches.map((batch) => bytesOf(toBinary(AuthenticateStreamRequestSchema, batch)))],
  ['an attempt', attempts.map((attempt) => bytesOf(toBinary(AuthenticateRequestSchema, attempt)))],
])('the bytes of %s that were cut, turned or put together are read as the generated code reads them', (_, valid) => {
  fc.assert(
    fc.property(valid, valid, fc.nat(), fc.nat(255), fc.nat(), (one, other, at, byte, cut) => {
      const turned = Buffer.from(one);
      if (turned.length > 0) turned[at % turned.length] = byte;
      const cutOff = one.subarray(0, cut % (one.length + 1));
      for (const bytes of [turned, cutOff, Buffer.concat([one, other]), Buffer.concat([cutOff, other])]) {
        expect(outcome(() => readAttempts(bytes))).toEqual(
          outcome(() => fromBinary(AuthenticateStreamRequestSchema, bytes)),
        );
        expect(outcome(() => readAttempt(bytes))).toEqual(outcome(() => fromBinary(AuthenticateRequestSchema, bytes)));
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each([
  ['a text beyond ASCII', { deviceId: 'ä' }],
  ['a certificate', { proof: { kind: { case: 'certificate', value: create(CertificateProofSchema) } } }],
  ['no proof', { deviceId: 'a' }],
] as const)('%s is left to the generated code', (_, init) => {
  const attempt = create(AuthenticateRequestSchema, init);
  const bytes = bytesOf(toBinary(AuthenticateRequestSchema, attempt));
  expect(knownAttempt(bytes)).toBeUndefined();
  expect(readAttempt(bytes)).toEqual(attempt);
});
