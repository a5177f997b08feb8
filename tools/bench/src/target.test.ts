import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { targetOf } from './target.ts';

function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'token'), text);
  return join(folder, 'token');
}

test('a server elsewhere has an address, a URL and a token', () => {
  const flags = { target: 'auth.example:7400', admin: 'http://auth.example:7480/', tokenFile: fileWith('token\n') };
  expect(targetOf(flags)).toMatchObject({ address: 'auth.example:7400' });
  expect(targetOf({})).toBeUndefined();
});

test.each([
  [{ admin: 'http://a' }, 'belong to --target'],
  [{ target: 'a:1' }, '--target needs --admin URL and --token-file FILE'],
  [{ target: 'a:1', admin: 'a:2', tokenFile: 'none' }, '--admin is no URL of http or https: "a:2"'],
  [{ target: 'a', admin: 'http://a', tokenFile: import.meta.filename }, 'not an address: "a"'],
  [{ target: 'a:1', admin: 'http://a', tokenFile: join(import.meta.dirname, 'none') }, 'ENOENT'],
])('what is missing is told: %j', (flags, message) => {
  expect(() => targetOf(flags)).toThrow(message);
});

test('an empty token is told', () => {
  const flags = { target: 'a:1', admin: 'http://a', tokenFile: fileWith(' \n') };
  expect(() => targetOf(flags)).toThrow(/--token-file .* is empty/);
});
