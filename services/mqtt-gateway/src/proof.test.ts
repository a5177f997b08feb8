import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Presented, readProof } from './proof.ts';

const PASSWORD = Buffer.from('c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a');

function presented(more: Partial<Presented> = {}): Presented {
  return { clientId: 'dev_1_0_1_2025041401', username: 'dev_1', password: PASSWORD, chain: [], ...more };
}

const deviceIds = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/);
const signs = fc.integer({ min: 0, max: 2 });
const stamps = fc.stringMatching(/^[0-9]{10}$/);

test('the client id is split from the right, whatever the device id holds', () => {
  fc.assert(
    fc.property(deviceIds, signs, stamps, (deviceId, signType, timestamp) => {
      const clientId = `${deviceId}_0_${signType}_${timestamp}`;
      expect(readProof(presented({ clientId, username: deviceId }))).toEqual({
        outcome: 'PROOF',
        deviceId,
        proof: { kind: { case: 'digest', value: { signType, timestamp, password: PASSWORD.toString() } } },
      });
    }),
  );
});

test('a device id that looks like the end of a client id is read whole', () => {
  const clientId = 'a_0_1_2025041401_0_0_2025041402';
  expect(readProof(presented({ clientId, username: 'a_0_1_2025041401' }))).toMatchObject({
    deviceId: 'a_0_1_2025041401',
    proof: { kind: { value: { signType: 0, timestamp: '2025041402' } } },
  });
});

test('hour 24, which the C SDK sends, is passed on', () => {
  expect(readProof(presented({ clientId: 'dev_1_0_1_2025041424' }))).toMatchObject({
    proof: { kind: { value: { timestamp: '2025041424' } } },
  });
});

test.each([
  '',
  'dev_1',
  'dev_1_0_1',
  'dev_1_0_1_20250414',
  'dev_1_0_1_20250414011',
  'dev_1_0_3_2025041401',
  'dev_1_2_1_2025041401',
  'dev_1_3_1_2025041401',
  'dev_1_0__2025041401',
  '_0_1_2025041401',
  'dev 1_0_1_2025041401',
  'dev_1_0_1_2025041401\n',
  'dév_0_1_2025041401',
  `${'d'.repeat(129)}_0_1_2025041401`,
  'd'.repeat(300),
])('the client id %j is malformed', (clientId) => {
  expect(readProof(presented({ clientId }))).toEqual({ outcome: 'REFUSED', why: 'CLIENT_ID' });
});

test.each([
  ['another user name', { username: 'dev_2' }],
  ['a user name of another case', { username: 'DEV_1' }],
  ['no user name', { username: undefined }],
  ['no password', { password: undefined }],
  ['an empty password', { password: Buffer.alloc(0) }],
  ['an endless password', { password: Buffer.alloc(257, 'a') }],
  ['another user name beside a certificate', { username: 'dev_2', chain: [Buffer.from('leaf')] }],
  ['a certificate over its bound', { chain: [Buffer.alloc(16_385)] }],
] as const)('%s cannot be right', (_, more) => {
  expect(readProof(presented(more))).toEqual({ outcome: 'REFUSED', why: 'CREDENTIALS' });
});

test('a certificate chain counts alone, leaf first and bounded; a password beside it does not', () => {
  const chain = Array.from({ length: 12 }, (_, index) => Buffer.from([index]));
  const proof = {
    kind: { case: 'certificate', value: { chain: chain.slice(0, 8).map((der) => Uint8Array.from(der)) } },
  };
  for (const password of [PASSWORD, Buffer.alloc(0), undefined]) {
    expect(readProof(presented({ chain, password }))).toEqual({ outcome: 'PROOF', deviceId: 'dev_1', proof });
  }
});

test('a chain ends before a certificate over its bound', () => {
  const chain = [Buffer.from('leaf'), Buffer.alloc(16_385), Buffer.from('root')];
  expect(readProof(presented({ chain }))).toMatchObject({
    proof: { kind: { value: { chain: [Uint8Array.from(Buffer.from('leaf'))] } } },
  });
});

test('nothing that can be presented makes it throw, and no proof is of another device than the user name', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('dev_1', 'dev_1_0_1_2025041401'));
  const bytes = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined });
  fc.assert(
    fc.property(
      text,
      fc.option(text, { nil: undefined }),
      bytes,
      fc.array(fc.uint8Array()),
      (id, user, pass, chain) => {
        const reading = readProof({ clientId: id, username: user, password: pass, chain });
        expect(reading.outcome === 'PROOF' ? reading.deviceId : user).toBe(user);
      },
    ),
  );
});
