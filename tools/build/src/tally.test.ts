import { describe, expect, it } from 'vitest';
import { lastLine, sum, tallyNx, tallyVitest } from './tally.ts';

const file = (status: string, ...results: string[]) => ({
  status,
  assertionResults: results.map((result) => ({ status: result })),
});

describe('tallyNx', () => {
  it('counts each task by its exit code', () => {
    const tasks = [0, 1, 0].map((status, index) => ({ taskId: `package-${index}:lint`, status }));
    expect(tallyNx({ tasks }, 1)).toEqual({ passed: 2, failed: 1, skipped: 0 });
  });

  it('counts a run without a report as failed when it says so', () => {
    expect(tallyNx(undefined, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });
});

describe('tallyVitest', () => {
  it('counts tests', () => {
    const testResults = [file('passed', 'passed', 'skipped'), file('failed', 'passed', 'failed', 'todo')];
    expect(tallyVitest({ testResults }, 1)).toEqual({ passed: 2, failed: 1, skipped: 2 });
  });

  it('counts a file that could not be loaded as failed', () => {
    expect(tallyVitest({ testResults: [file('failed')] }, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
    const beside = [file('failed'), file('failed', 'failed')];
    expect(tallyVitest({ testResults: beside }, 1)).toEqual({ passed: 0, failed: 2, skipped: 0 });
    expect(tallyVitest({ testResults: [file('failed', 'skipped')] }, 1)).toEqual({ passed: 0, failed: 1, skipped: 1 });
  });

  it('counts an error outside of every test as failed', () => {
    expect(tallyVitest({ testResults: [file('passed', 'passed')] }, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });
});

it('adds up to the last line', () => {
  const total = sum([
    { passed: 2, failed: 0, skipped: 1 },
    { passed: 3, failed: 1, skipped: 0 },
  ]);
  expect(lastLine(total)).toBe('5 passed, 1 failed');
});
