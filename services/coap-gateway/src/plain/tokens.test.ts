import { type DeviceId, Secret } from '@latchkey/kernel';
import { expect, test } from 'vitest';
import { type Signed, Tokens } from './tokens.ts';

const HOUR_MS = 3_600_000;

/** Tokens under a clock of the test's, which are numbered. */
function bench() {
  const at = { ms: 0 };
  let count = 0;
  const random = (size: number) => {
    const bytes = Buffer.alloc(size);
    bytes.writeUInt32BE(count++);
    return bytes;
  };
  return { at, tokens: new Tokens(() => at.ms, random) };
}

function signed(device: string, timestamp = '2026112300', signType = 1): Signed {
  return { deviceId: device as DeviceId, signType, timestamp };
}

const minted = (text: string) => new Secret(text);

test('a login is used up once, by its device, time and sign type', () => {
  const { tokens } = bench();
  expect(tokens.isUsed(signed('a'))).toBe(false);
  tokens.open(signed('a'), minted('one'));
  expect(tokens.isUsed(signed('a'))).toBe(true);
  for (const other of [signed('b'), signed('a', '2026112301'), signed('a', '2026112300', 2)])
    expect(tokens.isUsed(other)).toBe(false);
});

test('it is forgotten after 48 h, when its time cannot be good any more', () => {
  const { tokens, at } = bench();
  tokens.open(signed('a'), minted('one'));
  at.ms = 48 * HOUR_MS - 1;
  expect(tokens.isUsed(signed('a'))).toBe(true);
  at.ms = 48 * HOUR_MS;
  expect(tokens.isUsed(signed('a'))).toBe(false);
});

test('a token has its holder for an hour', () => {
  const { tokens, at } = bench();
  const own = tokens.open(signed('a'), minted('one')) ?? '';
  expect(own).toMatch(/^[A-Za-z0-9_-]{22}$/);
  at.ms = HOUR_MS - 1;
  expect(tokens.holderOf(own)).toMatchObject({ deviceId: 'a' });
  expect(tokens.holderOf(own)?.token.reveal()).toBe('one');
  at.ms = HOUR_MS;
  expect(tokens.holderOf(own)).toBeUndefined();
  expect(tokens.holderOf('other')).toBeUndefined();
});

test('a device has one: the newest, which lives its own hour', () => {
  const { tokens, at } = bench();
  const first = tokens.open(signed('a'), minted('one')) ?? '';
  at.ms = HOUR_MS / 2;
  const second = tokens.open(signed('a', '2026112301'), minted('two')) ?? '';
  expect(tokens.holderOf(first)).toBeUndefined();
  at.ms = HOUR_MS;
  expect(tokens.holderOf(second)?.token.reveal()).toBe('two');
});

test('10,000 devices hold one; another has to wait until an hour has passed', () => {
  const { tokens, at } = bench();
  const each = Array.from({ length: 10_000 }, (_, device) => tokens.open(signed(`${device}`), minted('x')));
  expect(each).not.toContain(undefined);
  expect(tokens.open(signed('more'), minted('x'))).toBeUndefined();
  expect(tokens.isUsed(signed('more'))).toBe(false);
  expect(tokens.open(signed('7', '2026112301'), minted('x'))).toBeDefined();
  at.ms = HOUR_MS;
  expect(tokens.open(signed('more'), minted('x'))).toBeDefined();
});

test('no more than 100,000 logins are remembered, and none is forgotten for another', () => {
  const { tokens } = bench();
  const each = Array.from({ length: 100_000 }, (_, login) => tokens.open(signed('a', String(login)), minted('x')));
  expect(each).not.toContain(undefined);
  expect(tokens.open(signed('a', 'more'), minted('x'))).toBeUndefined();
  expect(tokens.isUsed(signed('a', '0'))).toBe(true);
});
