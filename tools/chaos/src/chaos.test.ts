import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { FAULT_KINDS } from './faults.ts';
import type { Report } from './report.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const SECONDS = 45;
/** Start, preparation, faults that outlast the run, and the check: on a machine with two busy cores. */
const DEADLINE_MS = 150_000;

it('accepts nothing that was taken away, under every fault', { timeout: DEADLINE_MS }, async () => {
  const args = [MAIN, '--seconds', String(SECONDS), '--seed', '5', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 * 1024 * 1024 });
  const report = JSON.parse(stdout) as Report;
  expect(report.examples).toEqual([]);
  expect({ violations: report.violations, falseRejections: report.falseRejections }).toEqual({
    violations: 0,
    falseRejections: 0,
  });
  expect(Object.keys(report.faults)).toEqual(FAULT_KINDS.filter((kind) => kind !== 'failover').sort());
  // A run that asked for little would prove little; a busy machine gets through a third of what an idle one does.
  expect(report.decisions).toBeGreaterThan(3_000);
  expect(report.granted).toBeGreaterThan(600);
  expect(report.timed).toBe(report.granted - report.sessions);
  expect(report.sessions).toBeGreaterThan(40);
  expect(report.kickMs.count).toBeGreaterThan(4);
  expect(report.resets).toBeGreaterThan(40);
  expect(report.resetMs.max).toBeGreaterThan(0);
  expect(report.propagationMs.count).toBeGreaterThan(40);
});

it('refuses faults that it does not know', async () => {
  const refused = promisify(execFile)(process.execPath, [MAIN, '--faults', 'cut,flood']);
  await expect(refused).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('freeze-replica') });
});
