import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const BASELINE = join(ROOT, 'proto/baseline.binpb');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'proto-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs buf in a folder; its exit code and all that it said. */
function buf(cwd: string, ...args: string[]): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/buf'), args, { cwd, encoding: 'utf8' });
  return { code: status, output: stdout + stderr };
}

/** A copy of the protos in which a piece of one file is replaced. */
function mutate(file: string, before: string, after: string): void {
  for (const part of ['buf.yaml', 'proto', 'third_party/proto']) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  const path = join(folder, 'proto/latchkey/v1', file);
  const text = readFileSync(path, 'utf8');
  expect(text).toContain(before);
  writeFileSync(path, text.replace(before, after));
}

describe('proto', () => {
  it('passes buf lint', () => {
    expect(buf(ROOT, 'lint')).toEqual({ code: 0, output: '' });
  });

  it('fails buf lint when a field has no comment', () => {
    mutate('types.proto', '  // Why.\n', '');
    const { code, output } = buf(folder, 'lint');
    expect(output).toContain('Field "reason" should have a non-empty comment for documentation');
    expect(code).toBe(100);
  });

  it('breaks no client of the baseline', () => {
    expect(buf(ROOT, 'breaking', 'proto', '--against', BASELINE)).toEqual({ code: 0, output: '' });
  });

  it('would be caught breaking one', () => {
    mutate('types.proto', '  bool activated_now = 4;\n', '');
    const { code, output } = buf(folder, 'breaking', 'proto', '--against', BASELINE);
    expect(output).toContain('Previously present field "4" with name "activated_now" on message "Granted" was deleted');
    expect(code).toBe(100);
  });
});

describe('generated code', () => {
  const textsIn = (top: string) =>
    readdirSync(top, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(top.length), readFileSync(path, 'utf8')])
      .sort();

  it('is what buf generate makes of proto', () => {
    const out = 'libs/protocol/src/gen';
    expect(buf(ROOT, 'generate', '-o', folder)).toEqual({ code: 0, output: '' });
    const generated = textsIn(join(folder, out));
    expect(generated.length).toBeGreaterThan(0);
    expect(textsIn(join(ROOT, out))).toEqual(generated);
  });
});
