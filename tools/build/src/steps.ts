import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from './command.ts';
import { installPackages, planInstall } from './debian.ts';
import { type NxReport, type Tally, tallyNx, tallyVitest, type VitestReport } from './tally.ts';

/** Tells what happens, one line at a time. */
export type Tell = (line: string) => void;

const NX_REPORT = '.nx/cache/run.json';
const VITEST_REPORT = 'node_modules/.cache/latchkey/vitest.json';

/** Reads what a program just wrote; undefined when it wrote nothing. */
function readReport<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

/** Puts the programs on the machine that the tests run. Rejects, saying what to do, when it cannot. */
export async function programs(tell: Tell): Promise<void> {
  // Debian keeps servers where only root searches by itself.
  const search = `${process.env['PATH'] ?? ''}:/usr/sbin`;
  const plan = planInstall({ search, isRoot: process.getuid?.() === 0 });
  if (plan.action === 'TELL') throw new Error(plan.message);
  if (plan.action === 'NOTHING') return tell('programs: all there');
  tell(`programs: installing ${plan.packages.join(' ')} (apt-get) ...`);
  await installPackages(plan.packages, run);
  tell('programs: installed');
}

/** Lints and typechecks every package; shows Nx's output when something failed, or on demand. */
export async function checks(tell: Tell, verbose: boolean): Promise<Tally> {
  tell('lint and typecheck: running ...');
  rmSync(NX_REPORT, { force: true });
  const { code, output } = await run('nx', ['run-many', '-t', 'lint', 'typecheck'], { show: verbose });
  const report = readReport<NxReport>(NX_REPORT);
  const tally = tallyNx(report, code);
  if (tally.failed > 0 && output !== '') tell(output);
  for (const { taskId, status } of report?.tasks ?? []) if (status !== 0) tell(`lint and typecheck: failed: ${taskId}`);
  tell(`lint and typecheck: ${tally.passed} passed, ${tally.failed} failed`);
  return tally;
}

/** Has the work put its temporary files into a folder of its own: what a test that failed left there goes with it. */
async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-tests-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs vitest over all packages; `args` are vitest's own, such as a part of a path. */
export async function tests(tell: Tell, args: readonly string[]): Promise<Tally> {
  tell(`tests: vitest run ${args.join(' ')}`.trimEnd());
  rmSync(VITEST_REPORT, { force: true });
  mkdirSync(dirname(VITEST_REPORT), { recursive: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${VITEST_REPORT}`];
  const { code } = await withFolder((TMPDIR) =>
    run('vitest', ['run', ...reporters, ...args], { show: true, env: { TMPDIR } }),
  );
  const tally = tallyVitest(readReport<VitestReport>(VITEST_REPORT), code);
  tell(`tests: ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} left out`);
  return tally;
}
