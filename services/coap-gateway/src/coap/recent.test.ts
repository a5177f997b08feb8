import { expect, test } from 'vitest';
import { RecentMessages } from './recent.ts';

test('the newest 64 are remembered, with what they were answered', () => {
  const recent = new RecentMessages(() => 0);
  for (let id = 0; id < 65; id++) {
    expect(recent.enter(id)).toBe(true);
    recent.answered(id, Buffer.from([id]));
  }
  expect(recent.enter(1)).toBe(false);
  expect(recent.replyTo(1)).toEqual(Buffer.from([1]));
  expect(recent.replyTo(0)).toBeUndefined();
  expect(recent.enter(0)).toBe(true);
});

test('what is forgotten counts as new, and an answer to it is not kept', () => {
  const recent = new RecentMessages(() => 0);
  recent.enter(1);
  recent.forget(1);
  recent.answered(1, Buffer.from('late'));
  expect(recent.replyTo(1)).toBeUndefined();
  expect(recent.enter(1)).toBe(true);
});
