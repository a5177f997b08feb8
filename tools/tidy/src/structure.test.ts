import { describe, expect, it } from 'vitest';
import { importDirections, importsStayInside, packagesListed, restrictedImports } from './imports.ts';
import { manifestsAlike } from './manifests.ts';
import { repoOf } from './repo.ts';

const DIRECTIONS = { 'libs/low': { code: [] }, 'libs/high': { code: ['low'], tests: ['fake'] } };
const manifest = (more: object = {}) => JSON.stringify({ name: '@latchkey/a', ...more });

describe('packagesListed', () => {
  it('finds a package that is not listed and a listed one that is gone', () => {
    const repo = repoOf({ 'libs/low/package.json': manifest(), 'tools/new/package.json': manifest() });
    expect(packagesListed(repo, DIRECTIONS)).toEqual([
      'tools/new: not in the closed lists of tools/tidy/src/directions.ts',
      'tools/tidy/src/directions.ts: libs/high is no package',
    ]);
  });
});

describe('importDirections', () => {
  const check = (files: Record<string, string>) => importDirections(repoOf(files), DIRECTIONS);

  it('finds an edge that is not listed, declared or imported', () => {
    expect(check({ 'libs/low/package.json': manifest({ dependencies: { '@latchkey/high': '1' } }) })).toEqual([
      'libs/low/package.json: libs/low must not use high',
    ]);
    const imports = [
      "import { a } from '@latchkey/high';",
      "import '@latchkey/high/b';",
      "await import('@latchkey/high');",
    ];
    expect(imports.map((text) => check({ 'libs/low/src/a.ts': `\n${text}` }))).toEqual(
      imports.map(() => ['libs/low/src/a.ts:2 libs/low must not use high']),
    );
    expect(check({ 'libs/high/src/a.ts': "export * from '@latchkey/low';" })).toEqual([]);
  });

  it('lets tests use more, and only tests', () => {
    const text = "import { a } from '@latchkey/fake';";
    const devDependencies = { '@latchkey/fake': '1' };
    expect(check({ 'libs/high/src/a.test.ts': text, 'libs/high/package.json': manifest({ devDependencies }) })).toEqual(
      [],
    );
    expect(check({ 'libs/high/src/a.ts': text })).toHaveLength(1);
    expect(check({ 'libs/high/package.json': manifest({ dependencies: devDependencies }) })).toHaveLength(1);
  });

  it('allows nothing to a package that is not listed', () => {
    expect(check({ 'libs/odd/src/a.ts': "import type { A } from '@latchkey/low';" })).toHaveLength(1);
  });
});

describe('restrictedImports', () => {
  it('lets only wire.ts name the Redis store', () => {
    const text = "import { openStore } from '@latchkey/store-redis';";
    const at = (path: string) => restrictedImports(repoOf({ [path]: text }));
    expect(at('services/auth/src/wire.ts')).toEqual([]);
    expect(at('services/auth/src/main.ts')).toHaveLength(1);
    expect(at('services/mqtt-gateway/src/wire.ts')).toHaveLength(1);
    expect(at('libs/store-redis/src/a.test.ts')).toEqual([]);
  });

  it('lets only the Redis store, and what it is measured against, name the Redis client', () => {
    const at = (path: string) => restrictedImports(repoOf({ [path]: "import { createClient } from 'redis';" }));
    expect(at('libs/store-redis/src/client.ts')).toEqual([]);
    expect(at('libs/verifier/src/a.ts')).toEqual([
      'libs/verifier/src/a.ts:1 only libs/store-redis/ and tools/bench/src/redis-client.ts may import redis',
    ]);
  });
});

describe('importsStayInside', () => {
  it('finds a relative import that leaves its package', () => {
    const check = (text: string) => importsStayInside(repoOf({ 'libs/a/src/in/a.ts': text }));
    expect(check("import { b } from '../../../b/src/b.ts';")).toEqual([
      'libs/a/src/in/a.ts:1 the import ../../../b/src/b.ts leaves libs/a',
    ]);
    expect(check("import { b } from '../b.ts';\nBuffer.from('../../../x');\nconst s = \"from '../../../x'\";")).toEqual(
      [],
    );
  });
});

describe('manifestsAlike', () => {
  it('finds what a package lacks', () => {
    const problems = manifestsAlike(repoOf({ 'libs/a/package.json': manifest({ scripts: { lint: 'true' } }) }));
    expect(problems).toEqual([
      'libs/a/package.json: the licence is not Apache-2.0',
      'libs/a/package.json: not private',
      'libs/a/package.json: its type is not module',
      'libs/a/package.json: the script lint is not "biome check --error-on-warnings ."',
      'libs/a/package.json: the script typecheck is not "tsc -p ."',
      'libs/a/package.json: the script test is not "vitest run --root ../.. --project $npm_package_name"',
      'libs/a: no tsconfig.json',
      'package.json: the licence is not Apache-2.0',
    ]);
  });
});
