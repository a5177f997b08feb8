import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** It tries for ever to reach a server that is not there. */
const DEADLINE_MS = 60_000;

/** What redis-benchmark is to do: GETs of one key over one connection, so many of them at least, and so many under way. */
export type BenchmarkOptions = { readonly requests: number; readonly inFlight: number; readonly key: string };

/** It counts whole milliseconds: fewer GETs may be over in none, which is no rate. */
const MIN_REQUESTS = 200_000;

/** GETs a second, by Redis' own tool, which is written in C. Rejects where it is not installed. */
export async function redisBenchmark(url: string, options: BenchmarkOptions): Promise<number> {
  const { requests, inFlight, key } = options;
  const how = [
    '-p',
    new URL(url).port,
    '-c',
    '1',
    '-P',
    String(inFlight),
    '-n',
    String(Math.max(requests, MIN_REQUESTS)),
    '--csv',
  ];
  return rateIn((await run('redis-benchmark', [...how, 'GET', key], { timeout: DEADLINE_MS })).stdout);
}

/** The rate in its CSV: the second column of the last line. Throws when there is none. */
function rateIn(csv: string): number {
  const last = csv.trim().split('\n').at(-1) ?? '';
  const rate = Number(/^"[^"]*","([0-9.]+)"/.exec(last)?.[1]);
  if (!(rate > 0)) throw new Error(`redis-benchmark said ${csv}`);
  return rate;
}
