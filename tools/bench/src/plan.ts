import type { Findings } from './measure.ts';
import type { Processes } from './processes.ts';
import type { Target } from './target.ts';

/** How a suite is to run. */
export type Plan = {
  /** Fewer devices and rounds: every suite under 40 s. */
  readonly quick: boolean;
  /** Rounds instead of the suite's own number. */
  readonly rounds: number | undefined;
  /** Multiplies counts and durations; below 1 the figures mean nothing. */
  readonly scale: number;
  readonly processes: Processes;
  /** A server elsewhere, which is asked instead of one of this run. */
  readonly target?: Target;
  /** Tells how far the run is. */
  readonly say: (text: string) => void;
};

/** Compares two sides; which ones stands at its function. Rejects when a side answers anything but what it should. */
export type Suite = (plan: Plan) => Promise<Findings>;

/** How much a suite does. */
export type Size = { readonly devices: number; readonly perRound: number; readonly rounds: number };

/** The size that a plan asks for. */
export function sizeOf(plan: Plan, sizes: { readonly full: Size; readonly quick: Size }): Size {
  const { devices, perRound, rounds } = plan.quick ? sizes.quick : sizes.full;
  const scaled = (count: number) => Math.max(1, Math.round(count * plan.scale));
  return { devices: scaled(devices), perRound: scaled(perRound), rounds: plan.rounds ?? rounds };
}
