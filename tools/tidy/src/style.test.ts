import { describe, expect, it } from 'vitest';
import { inputsAreArguments } from './effects.ts';
import { noDefaultExports, noEmptyNames, noUnreasonedAny } from './exports.ts';
import { noMachinePaths, noTestLeftOut, nothingUnfinished } from './leftovers.ts';
import { repoOf } from './repo.ts';
import { EXCEPTIONS_FILE, sizes } from './size.ts';

const FILE = 'libs/a/src/a.ts';
const one = (text: string, path = FILE) => repoOf({ [path]: text });
const lines = (count: number) => 'go();\n'.repeat(count);
/** A function of so many lines. */
const long = (name: string, count: number) => `function ${name}() {\n${lines(count - 2)}}\n`;

describe('sizes', () => {
  it('lets the limits pass and no line more', () => {
    expect(sizes(one(lines(400)))).toEqual([]);
    expect(sizes(one(lines(401)))).toEqual([`${FILE} has 401 lines, the limit is 400`]);
    expect(sizes(one(long('f', 70)))).toEqual([]);
    expect(sizes(one(long('f', 71)))).toEqual([`${FILE}#f has 71 lines, the limit is 70`]);
  });

  it('does not look at what others wrote', () => {
    expect(sizes(one(lines(500), 'libs/a/src/gen/a_pb.ts'))).toEqual([]);
  });

  it('holds exceptions to their ceiling and lets them only shrink', () => {
    const withCeiling = (ceilingLines: number, reason = 'one table') =>
      sizes(
        repoOf({
          [FILE]: long('f', 80),
          [EXCEPTIONS_FILE]: JSON.stringify({ [`${FILE}#f`]: { ceilingLines, reason } }),
        }),
      );
    expect(withCeiling(80)).toEqual([]);
    expect(withCeiling(79)).toEqual([`${FILE}#f has 80 lines, its exception ends at 79`]);
    expect(withCeiling(90)).toEqual([`${EXCEPTIONS_FILE}: ${FILE}#f has 80 lines, lower its ceiling from 90`]);
    expect(withCeiling(80, ' ')).toEqual([`${EXCEPTIONS_FILE}: ${FILE}#f has no reason`]);
  });

  it('takes no exception that nothing needs', () => {
    const exceptions = JSON.stringify({ [FILE]: { ceilingLines: 450, reason: 'was long' } });
    expect(sizes(repoOf({ [FILE]: 'x', [EXCEPTIONS_FILE]: exceptions }))).toEqual([
      `${EXCEPTIONS_FILE}: ${FILE} is no longer needed, take it out`,
    ]);
  });
});

describe('exports and names', () => {
  it('finds default exports but for configuration files', () => {
    expect(noDefaultExports(one('export default 1;'))).toEqual([`${FILE}:1 default export: name it`]);
    expect(noDefaultExports(one('const a = 1;\nexport { a as default };'))).toHaveLength(1);
    expect(noDefaultExports(one('export default {};', 'vitest.config.ts'))).toEqual([]);
    expect(noDefaultExports(one("switch (a) { default: b('export default'); }"))).toEqual([]);
  });

  it('finds names that say nothing', () => {
    const bad = [
      'export class StoreImpl {}',
      'export const keyManager = 1;',
      'export const BASE_URL = 1;',
      'export type {\n  StoreBase,\n} from "./b.ts";',
      'export async function helperOf() {}',
    ];
    expect(bad.map((text) => noEmptyNames(one(text)).length)).toEqual([1, 1, 1, 1, 1]);
    expect(noEmptyNames(one('export const a = 1;', 'libs/a/src/string-utils.ts'))).toHaveLength(1);
    expect(noEmptyNames(one('interface IStore {}'))).toEqual([`${FILE}:1 interface IStore: no leading I`]);
    expect(noEmptyNames(one('export const toBase64 = 1;\nexport interface Item {}\nexport { database };'))).toEqual([]);
  });

  it('finds any without a reason', () => {
    expect(noUnreasonedAny(one('\nlet a: any;'))).toEqual([`${FILE}:2 any without "// any: REASON"`]);
    expect(noUnreasonedAny(one('const a = b as any;'))).toHaveLength(1);
    expect(noUnreasonedAny(one('// any: the library types it so\nlet a: any;'))).toEqual([]);
    expect(noUnreasonedAny(one('let a: any; // any: '))).toHaveLength(1);
    expect(
      noUnreasonedAny(one("// any device\nPromise.any(x); const f = Promise.any; const a = { any: 'any' };")),
    ).toEqual([]);
  });
});

describe('inputsAreArguments', () => {
  it('finds hidden inputs in code', () => {
    const bad = ['Date.now()', 'const r = Math.random', "process.env['A']", 'process\n  .env.A', 'new Date()'];
    expect(bad.map((text) => inputsAreArguments(one(text)).length)).toEqual([1, 1, 1, 1, 1]);
    expect(inputsAreArguments(one('// Date.now()\nconst s = "Math.random"; new Date(now);'))).toEqual([]);
  });

  it('lets the edges read them', () => {
    const edges = [
      'libs/runtime/src/a.ts',
      'libs/kernel/src/clock.ts',
      'services/a/src/main.ts',
      'tools/a/src/a.ts',
      'libs/a/src/a.test.ts',
    ];
    expect(edges.flatMap((path) => inputsAreArguments(one('Date.now()', path)))).toEqual([]);
    expect(inputsAreArguments(one('Date.now()', 'libs/kernel/src/ids.ts'))).toHaveLength(1);
  });
});

describe('leftovers', () => {
  const TEST = 'libs/a/src/a.test.ts';

  it('finds tests that are left out', () => {
    const bad = [
      "it.only('', f)",
      "describe.skip('', f)",
      "test.todo('a')",
      "it.skipIf(x)('', f)",
      "describe.concurrent.only('', f)",
    ];
    expect(bad.map((text) => noTestLeftOut(one(text, TEST)).length)).toEqual([1, 1, 1, 1, 1]);
    expect(noTestLeftOut(one("it('only', () => reader.skip(1)); // it.only", TEST))).toEqual([]);
  });

  it('finds unfinished work in any file', () => {
    const words = ['TODO', 'FIXME', 'XXX'];
    expect(words.map((word) => nothingUnfinished(one(`a // ${word}: more`, 'docs/a.md')).length)).toEqual([1, 1, 1]);
    expect(nothingUnfinished(one('XXXX TODOS mastodon'))).toEqual([]);
  });

  it('finds paths of one machine', () => {
    const paths = ['work', 'home', 'root'].map((top) => `see /${top}/me/a`);
    expect(paths.map((text) => noMachinePaths(one(text, 'dev')).length)).toEqual([1, 1, 1]);
    expect(noMachinePaths(one('https://a.example/home/x ./work/x /workspace/x ~/work/x'))).toEqual([]);
  });
});
