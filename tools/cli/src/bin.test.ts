import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const BIN = join(import.meta.dirname, '../bin/latchkey.mjs');
/** Makes a Node take itself for an older one. */
const OLD = `data:text/javascript,Object.defineProperty(process,'versions',{value:{node:'20.20.2'}})`;

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latchkey-bin-'));
});
afterEach(() => rm(dir, { recursive: true }));

function latchkey(nodeArgs: readonly string[], args: readonly string[]) {
  const env = { PATH: process.env['PATH'], LATCHKEY_TOKEN: 'token-of-the-test' };
  return spawnSync(process.execPath, [...nodeArgs, ...args], { encoding: 'utf8', env, cwd: dir });
}

test('the command runs in a process of its own and ends with the exit code', () => {
  const { status, stdout, stderr } = latchkey([], [BIN, '--admin', 'http://127.0.0.1:1', 'device', 'get', 'x']);
  expect([status, stdout]).toEqual([6, '']);
  expect(stderr).toContain('latchkey: cannot reach http://127.0.0.1:1');
  expect(stderr).not.toContain('token-of-the-test');
});

test('under an old Node it goes on with the one of the project', () => {
  const { status, stdout } = latchkey(['--import', OLD], [BIN, 'device', '--help']);
  expect([status, stdout.split('\n')[0]]).toEqual([0, 'Usage: latchkey device [options] [command]']);
  expect(latchkey(['--import', OLD], [BIN, 'device', 'bend']).status).toBe(2);
});

test('under an old Node without the one of the project it says what to do', async () => {
  await cp(BIN, join(dir, 'tools/cli/bin/latchkey.mjs'));
  const { status, stderr } = latchkey(['--import', OLD], [join(dir, 'tools/cli/bin/latchkey.mjs'), '--help']);
  expect(status).toBe(1);
  expect(stderr).toMatch(/is too old: install 24\.15 or newer, or run npm ci/);
});
