import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, 'main.ts');
/** Too small for figures that mean anything. */
const TINY = ['--quick', '--rounds', '1', '--scale', '0.05', '--json'];

const figure = { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) };
const ratio = { ...figure, aim: expect.any(Number), bound: expect.any(String), met: expect.any(Boolean) };

async function found(...suites: readonly string[]) {
  const { stdout } = await run(process.execPath, [MAIN, ...suites, ...TINY]);
  return JSON.parse(stdout);
}

test('the suite cold has decisions, GETs of both clients and what each costs', { timeout: 120_000 }, async () => {
  const { ratios, rates } = await found('cold');
  expect(ratios).toEqual({ cold_over_redis_get: { ...ratio, aim: 1, bound: 'at_least' } });
  const names = [
    ...['cold_over_redis_get_by_cpu', 'cold_over_lean_redis_get', 'cold_decisions_per_s', 'cold_cpu_us_per_decision'],
    ...[
      'cold_redis_cpu_us_per_decision',
      'use_redis_cpu_us',
      'redis_get_per_s',
      'redis_get_cpu_us',
      'redis_get_redis_cpu_us',
    ],
    ...['cold_over_parts', 'cold_parts_over_redis_get', 'cold_parts_cpu_us'],
    ...['lean_redis_get_per_s', 'lean_redis_get_cpu_us', 'redis_benchmark_get_per_s'],
  ];
  expect(rates).toEqual(Object.fromEntries(names.map((name) => [name, figure])));
  for (const { min } of Object.values({ ...ratios, ...rates }) as (typeof figure)[]) expect(min).toBeGreaterThan(0);
});

test('the suite storm has every device decided on', { timeout: 120_000 }, async () => {
  const { ratios, rates, latencies } = await found('storm');
  const none = { median: 0, min: 0, max: 0, aim: 0, bound: 'at_most', met: true };
  expect(ratios).toEqual({ storm_wrong_answers: none, storm_timeouts: { ...ratio, aim: 0, bound: 'at_most' } });
  expect(rates.storm_devices).toEqual({ median: 1_000, min: 1_000, max: 1_000 });
  expect(latencies.storm.series['nothing cached'].count).toBe(1_000);
  expect(rates.storm_max_ms.max).toBeGreaterThanOrEqual(rates.storm_p50_ms.min);
});

test('the suite memory has bytes in all three places', { timeout: 120_000 }, async () => {
  const { ratios, rates } = await found('memory');
  expect(ratios).toEqual({
    cached_bytes_per_device: { ...ratio, aim: 300, bound: 'at_most' },
    redis_record_bytes_per_device: { ...ratio, aim: 350, bound: 'at_most' },
  });
  const names = ['cached_rss_bytes_per_device', 'redis_memory_usage_bytes_per_record', 'redis_index_bytes_per_device'];
  const others = ['redis_usage_bytes_per_device', 'redis_log_bytes', 'embedded_disk_bytes_per_device'];
  expect(rates).toEqual(Object.fromEntries([...names, ...others].map((name) => [name, figure])));
  // No record is shorter than its ids, its two sealed secrets and their sealing.
  const records = [ratios.redis_record_bytes_per_device, rates.redis_memory_usage_bytes_per_record];
  for (const { min } of [...records, rates.embedded_disk_bytes_per_device]) expect(min).toBeGreaterThan(150);
  for (const name of [...names.slice(2), ...others]) expect(rates[name].min).toBeGreaterThan(0);
});

test('without redis-server a suite says what to install', { timeout: 60_000 }, async () => {
  const env = { ...process.env, PATH: '/nowhere' };
  const ended: unknown = await run(process.execPath, [MAIN, 'cold', ...TINY], { env }).catch((error: unknown) => error);
  const { code, stdout } = ended as { readonly code: number; readonly stdout: string };
  expect(code).toBe(1);
  expect(JSON.parse(stdout).failed).toEqual({
    cold: 'there is no redis-server here (apt-get install redis-server)',
  });
});

test('the suite fleet has a curve for each store and access, and compares fleets', { timeout: 180_000 }, async () => {
  const { ratios, rates, curves, absent } = await found('fleet');
  expect(ratios).toEqual({ fleet_1m_over_100k: { ...ratio, aim: 1.2, bound: 'at_most' } });
  expect(absent).toEqual({ fleet_10m_over_100k: '--quick leaves it out' });
  expect(rates.fleet_equal_hits_percent.min).toBeGreaterThan(89);
  expect(rates.fleet_equal_hits_percent.max).toBeLessThan(91);
  const xs = (points: readonly { readonly x: number }[]) => points.map(({ x }) => x);
  const { fleet_bytes, ...byAccess } = curves;
  expect(xs(fleet_bytes.series.Redis)).toEqual([50, 5_000, 50_000]);
  expect(xs(fleet_bytes.series.embedded)).toEqual([50, 5_000]);
  expect(fleet_bytes.series.Redis.at(-1).y).toBeGreaterThan(300);
  for (const { series } of Object.values(byAccess) as readonly { readonly series: Record<string, { x: number }[]> }[]) {
    expect(Object.keys(series)).toEqual(['Redis, Zipf', 'Redis, uniform', 'embedded, Zipf', 'embedded, uniform']);
    expect(Object.values(series).map(xs)).toEqual([
      ...[
        [50, 5_000, 50_000],
        [50, 5_000, 50_000],
      ],
      ...[
        [50, 5_000],
        [50, 5_000],
      ],
    ]);
  }
});

test('the suite replicas has what each more costs', { timeout: 180_000 }, async () => {
  const { ratios, rates, curves } = await found('replicas');
  expect(ratios).toEqual({});
  const names = [
    ...['replica_idle_redis_cpu_us_per_s', 'change_redis_cpu_us', 'change_and_replica_redis_cpu_us'],
    ...['change_and_replica_redis_cpu_us_busy', 'change_and_replica_cpu_us', 'changes_per_s_100_replicas'],
    'change_and_watcher_cpu_us',
  ];
  expect(rates).toEqual(Object.fromEntries(names.map((name) => [name, figure])));
  for (const name of ['change_redis_cpu_us', 'change_and_replica_redis_cpu_us', 'changes_per_s_100_replicas'])
    expect(rates[name].min).toBeGreaterThan(0);
  for (const line of Object.values(curves.replicas_settle.series) as readonly { x: number }[][])
    expect(line.map(({ x }) => x)).toEqual([1, 10, 100]);
});
