import type { Point } from './curve.ts';
import type { Distribution } from './latency.ts';
import { type OpenLoop, openLoop } from './open-loop.ts';
import type { Plan } from './plan.ts';
import type { Server } from './processes.ts';

/** Shares of what was reached with many questions open all the time, in percent. */
const SHARES = [25, 50, 75] as const;

/** How long each rate lasts. */
const DURATION_MS = { full: 10_000, quick: 1_500 } as const;

/** Questions open at a time at a fixed rate: those of a tenth of a second at rates that one process asks at. */
export const MAX_OPEN = 4_096;

type Options = {
  readonly plan: Plan;
  /** What stands before the rate in the names of lines. */
  readonly name: string;
  /** Answers in a second that were reached. */
  readonly capacity: number;
  readonly ask: OpenLoop['ask'];
  /** Left out: its CPU time is not known. */
  readonly server?: Pick<Server, 'cpuUs'>;
};

/** What was found at fixed rates. */
export type AtFixedRates = {
  readonly series: Readonly<Record<string, Distribution>>;
  /** The server's CPU microseconds per answer, by answers in a second. */
  readonly cpu: readonly Point[];
};

/** Latency at fixed rates, from the moment at which each question was due. */
export async function atFixedRates({ plan, name, capacity, ask, server }: Options): Promise<AtFixedRates> {
  const series: Record<string, Distribution> = {};
  const cpu: Point[] = [];
  const durationMs = DURATION_MS[plan.quick ? 'quick' : 'full'] * plan.scale;
  for (const share of SHARES) {
    const perSecond = Math.max(1, Math.round((capacity * share) / 100));
    const count = Math.ceil((perSecond * durationMs) / 1_000);
    const before = server?.cpuUs();
    const found = await openLoop({ perSecond, count, maxOpen: MAX_OPEN, ask });
    series[`${name} at ${share} % (${perSecond.toLocaleString('en-US')}/s)`] = found;
    if (server !== undefined && before !== undefined) {
      cpu.push({ x: perSecond, y: (server.cpuUs() - before) / found.count });
    }
    plan.say(
      `${name}: ${share} %, ${perSecond} a second, ${found.notStarted} not started, ${found.notAnswered} without answer`,
    );
  }
  return { series, cpu };
}
