/** How many checks passed, failed and were left out. */
export type Tally = { readonly passed: number; readonly failed: number; readonly skipped: number };

/** The part of Nx's run.json that matters here; status is the task's exit code. */
export type NxReport = { readonly tasks: readonly { readonly taskId: string; readonly status: number }[] };

/** The part of vitest's JSON report that matters here. */
export type VitestReport = {
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
};

/** The sum of tallies. */
export function sum(tallies: readonly Tally[]): Tally {
  return tallies.reduce(
    (total, { passed, failed, skipped }) => ({
      passed: total.passed + passed,
      failed: total.failed + failed,
      skipped: total.skipped + skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  );
}

/** A program that failed although nothing that it counted did has failed as a whole. */
function orFailedAsAWhole(tally: Tally, exitCode: number): Tally {
  return exitCode !== 0 && tally.failed === 0 ? { ...tally, failed: 1 } : tally;
}

/** Counts each lint and each typecheck as one; an undefined report (Nx wrote none) counts as nothing that passed. */
export function tallyNx(report: NxReport | undefined, exitCode: number): Tally {
  const tasks = report?.tasks ?? [];
  const failed = tasks.filter(({ status }) => status !== 0).length;
  return orFailedAsAWhole({ passed: tasks.length - failed, failed, skipped: 0 }, exitCode);
}

/** Counts each test as one, and a file that failed before any of its tests did as one more. */
export function tallyVitest(report: VitestReport | undefined, exitCode: number): Tally {
  const tallies = (report?.testResults ?? []).map(({ status, assertionResults }) => {
    const count = (wanted: string) => assertionResults.filter((result) => result.status === wanted).length;
    const passed = count('passed');
    const failed = count('failed');
    const unloaded = status === 'failed' && failed === 0 ? 1 : 0;
    return { passed, failed: failed + unloaded, skipped: assertionResults.length - passed - failed };
  });
  return orFailedAsAWhole(sum(tallies), exitCode);
}

/** The line that a test run ends with. */
export function lastLine({ passed, failed }: Tally): string {
  return `${passed} passed, ${failed} failed`;
}
