import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');

/** What knip finds in a folder: nothing when all is well. Its configuration hints, on the other stream, are none. */
function knip(cwd: string, ...args: string[]): { code: number | null; output: string } {
  const script = join(ROOT, 'node_modules/knip/bin/knip.js');
  const { status, stdout } = spawnSync(process.execPath, [script, ...args], { cwd, encoding: 'utf8' });
  return { code: status, output: stdout.trim() };
}

/** A repository with this one's knip.json, of one lib whose index.ts exports `used`. */
function makeRepo(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'knip-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const all = {
    'package.json': '{ "name": "sample", "type": "module", "workspaces": ["libs/*"] }',
    'libs/a/package.json': '{ "name": "a", "type": "module", "exports": "./src/index.ts" }',
    'libs/a/src/index.ts': "export { used } from './parts.ts';\n",
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  copyFileSync(join(ROOT, 'knip.json'), join(folder, 'knip.json'));
  return folder;
}

describe.each([[[]], [['--production']]])('knip %j', (args) => {
  it('finds no dead code and no dependency that is unused or undeclared', () => {
    expect(knip(ROOT, ...args)).toEqual({ code: 0, output: '' });
  });

  it('finds an export that nobody uses', () => {
    const repo = makeRepo({ 'libs/a/src/parts.ts': 'export const used = 1;\nexport const dead = 2;\n' });
    const { code, output } = knip(repo, ...args);
    expect(output).toMatch(/Unused exports \(1\)\s+dead/);
    expect(code).toBe(1);
  });

  it('finds a file that nobody imports', () => {
    const repo = makeRepo({ 'libs/a/src/parts.ts': 'export const used = 1;\n', 'libs/a/src/dead.ts': 'export {};\n' });
    expect(knip(repo, ...args).output).toMatch(/Unused files \(1\)\s+libs\/a\/src\/dead\.ts/);
  });
});

it('finds, in production, an export that only a test uses', () => {
  const repo = makeRepo({
    'libs/a/src/parts.ts': 'export const used = 1;\nexport const tested = 2;\n',
    'libs/a/src/parts.test.ts': "import { tested } from './parts.ts';\nconsole.log(tested);\n",
  });
  expect(knip(repo, '--production').output).toMatch(/Unused exports \(1\)\s+tested/);
});
