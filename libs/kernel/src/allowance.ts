/** `burst` at once, and one more every `intervalMs` milliseconds: a token bucket. */
export type Allowance = { readonly burst: number; readonly intervalMs: number };

/**
 * Whether one is left. What was spent is kept as one number, the time at which all of it will be there again (the
 * theoretical arrival time of GCRA); zero, or any time that has passed: nothing is spent.
 */
export function isLeft(wholeAtMs: number, nowMs: number, { burst, intervalMs }: Allowance): boolean {
  return wholeAtMs - nowMs <= (burst - 1) * intervalMs;
}

/** The number that stands for one more spent. More than there is cannot be: who overdraws is not made to wait for longer. */
export function spendOne(wholeAtMs: number, nowMs: number, { burst, intervalMs }: Allowance): number {
  return Math.min(Math.max(wholeAtMs, nowMs) + intervalMs, nowMs + burst * intervalMs);
}
