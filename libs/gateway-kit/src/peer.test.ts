import { expect, test } from 'vitest';
import { sourceOf } from './peer.ts';

test('a source is an address without port, IPv4 in its own form', () => {
  expect(sourceOf({ remoteAddress: '::ffff:10.0.0.1' })).toBe('10.0.0.1');
  expect(sourceOf({ remoteAddress: '2001:db8::1' })).toBe('2001:db8::1');
  expect(sourceOf({ remoteAddress: undefined })).toBe('');
  expect(sourceOf(undefined)).toBe('');
});
