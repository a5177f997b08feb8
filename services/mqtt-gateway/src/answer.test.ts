import { DenyReason } from '@latchkey/protocol/v1';
import { expect, test } from 'vitest';
import { answerTo } from './answer.ts';

test('malformed client id and keepalive are 2', () => {
  expect(answerTo({ decision: 'REFUSED', why: 'CLIENT_ID' })).toEqual({ mqtt3: 2, mqtt5: 0x85 });
  expect(answerTo({ decision: 'REFUSED', why: 'KEEPALIVE' })).toEqual({ mqtt3: 2, mqtt5: 0x82 });
});

test('an authentication method is 0x8c, which MQTT 3 does not have', () => {
  expect(answerTo({ decision: 'REFUSED', why: 'AUTH_METHOD' })).toEqual({ mqtt3: 4, mqtt5: 0x8c });
});

test('no decision is 3, whatever its cause', () => {
  for (const cause of ['UNAVAILABLE', 'DEADLINE', 'OVERLOADED', 'FAILED', 'UNREADABLE', 'NOT_FOLLOWING'] as const) {
    expect(answerTo({ decision: 'NONE', cause })).toEqual({ mqtt3: 3, mqtt5: 0x88 });
  }
});

test('every denial is 4, so that a device cannot tell one from the other, but for frozen and throttled', () => {
  const { FROZEN, THROTTLED, ...others } = DenyReason;
  expect(answerTo({ decision: 'DENIED', reason: FROZEN })).toEqual({ mqtt3: 5, mqtt5: 0x87 });
  expect(answerTo({ decision: 'DENIED', reason: THROTTLED })).toEqual({ mqtt3: 3, mqtt5: 0x97 });
  for (const reason of [...Object.values(others), 4711 as DenyReason]) {
    expect(answerTo({ decision: 'DENIED', reason })).toEqual({ mqtt3: 4, mqtt5: 0x86 });
  }
  expect(answerTo({ decision: 'REFUSED', why: 'CREDENTIALS' })).toEqual({ mqtt3: 4, mqtt5: 0x86 });
});
