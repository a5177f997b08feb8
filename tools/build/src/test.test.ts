import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** Runs `npm test`'s program where no other program can be found. */
function runAlone(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const script = join(import.meta.dirname, 'test.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    env: { PATH: '/nowhere' },
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}

describe('test.ts', () => {
  it('says what is missing, and ends with the counts all the same', () => {
    const { code, stdout, stderr } = runAlone();
    // The servers in /usr/sbin are found by whoever has them.
    expect(stderr).toMatch(
      /^test: the tests need curl, redis-server, mosquitto_pub.*; install them \(Debian: curl redis-server mosquitto-clients.*\)\n$/,
    );
    expect(stdout).toBe('0 passed, 1 failed\n');
    expect(code).toBe(1);
  });

  it('tells with --help what it does, and does nothing', () => {
    const { code, stdout, stderr } = runAlone('libs/store', '--help');
    expect(stdout).toContain('usage: npm test -- [OPTIONS] [VITEST ARGUMENTS]');
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });
});
