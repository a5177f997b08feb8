import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { completeLock } from './platform-packages.ts';

const INCOMPLETE = {
  lockfileVersion: 3,
  packages: {
    '': { name: 'sample' },
    'node_modules/tool': {
      version: '2.0.0',
      dev: true,
      optionalDependencies: { '@tool/cli-linux-x64': '2.0.0', '@tool/cli-linux-aarch64-musl': '2.0.0', plain: '1.0.0' },
    },
    'node_modules/tool/node_modules/@tool/cli-linux-x64': { version: '2.0.0', os: ['linux'], cpu: ['x64'] },
  },
};

describe('completeLock', () => {
  it('adds a missing platform package with its platform and nothing else', () => {
    const { lock, added } = completeLock(INCOMPLETE);
    expect(added).toEqual(['@tool/cli-linux-aarch64-musl']);
    expect(lock.packages['node_modules/@tool/cli-linux-aarch64-musl']).toEqual({
      version: '2.0.0',
      dev: true,
      optional: true,
      cpu: ['arm64'],
      os: ['linux'],
      libc: ['musl'],
    });
    expect(Object.keys(lock.packages)).toHaveLength(4);
  });

  it('keeps places in order and leaves a complete lock as it is', () => {
    const { lock } = completeLock(INCOMPLETE);
    const places = Object.keys(lock.packages);
    expect(places).toEqual([...places].sort((a, b) => a.localeCompare(b, 'en')));
    expect(completeLock(lock)).toEqual({ lock, added: [] });
  });

  it("finds a package that stands in a folder further up, and no sibling's", () => {
    const nested = (place: string) => ({
      packages: {
        'node_modules/a/node_modules/b': { optionalDependencies: { 'c-darwin': '1.0.0' } },
        [place]: { version: '1.0.0' },
      },
    });
    expect(completeLock(nested('node_modules/a/node_modules/c-darwin')).added).toEqual([]);
    expect(completeLock(nested('node_modules/c-darwin')).added).toEqual([]);
    expect(completeLock(nested('node_modules/x/node_modules/c-darwin')).added).toEqual(['c-darwin']);
  });
});

describe('lockfile.ts', () => {
  let folder: string;
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, 'lockfile.ts'), ...args], { encoding: 'utf8' });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lockfile-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('only tells with --check, completes without it, and is content afterwards', () => {
    const file = join(folder, 'package-lock.json');
    const before = JSON.stringify(INCOMPLETE);
    writeFileSync(file, before);
    const check = run(file, '--check');
    expect(check.status).toBe(1);
    expect(check.stderr).toContain('lacks @tool/cli-linux-aarch64-musl: run ./dev lock');
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(run(file).status).toBe(0);
    expect(run('--check', file).status).toBe(0);
  });

  it('finds the lock of this repository complete', () => {
    expect(run(join(import.meta.dirname, '../../../package-lock.json'), '--check').stderr).toBe('');
  });
});
