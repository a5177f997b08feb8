import { expect, test } from 'vitest';
import type { Plan } from './plan.ts';
import { Processes } from './processes.ts';
import { runSuites } from './run.ts';

const findings = { ratios: {}, rates: {} };

test('a suite that fails is told and keeps no other from running', async () => {
  const said: string[] = [];
  const plan: Plan = { quick: true, rounds: 1, scale: 1, processes: new Processes(), say: (text) => said.push(text) };
  const order: string[] = [];
  const outcome = await runSuites(
    [
      ['first', () => Promise.reject(new Error('no Redis'))],
      ['second', async () => findings],
    ],
    plan,
    (name) => order.push(name),
  );
  expect(outcome).toEqual({ found: { second: findings }, failed: { first: 'no Redis' } });
  expect(order).toEqual(['second']);
  expect(said).toContain('second: suite 2 of 2');
  expect(said.some((text) => text.startsWith('first: failed: Error: no Redis'))).toBe(true);
});
