import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const FILE = 'buf/validate/validate.proto';

it('prints what is committed in third_party/proto', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vendor-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const script = join(import.meta.dirname, 'vendor-validate.ts');
  const run = spawnSync(process.execPath, [script, '--to', folder], { encoding: 'utf8' });
  expect(run.stderr).toBe('');
  expect(readFileSync(join(folder, FILE), 'utf8')).toBe(readFileSync(join(ROOT, 'third_party/proto', FILE), 'utf8'));
});
