import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startAuthServer } from './auth-server.ts';
import { operatorOf } from './operator.ts';
import { Processes } from './processes.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, 'main.ts');
/** Large enough that the count of CPU time moves in every round, too small for figures that mean anything. */
const TINY = ['--quick', '--rounds', '1', '--scale', '0.1'];

const figure = { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) };
const ratio = { ...figure, aim: expect.any(Number), bound: expect.any(String), met: expect.any(Boolean) };

const point = { x: expect.any(Number), y: expect.any(Number) };

/** A folder with no program but those, as a search path. */
function folderWith(...programs: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const program of programs) {
    const path = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
    symlinkSync(path, join(folder, program));
  }
  return folder;
}

test('prints one JSON object with all that it finds, and says what it has no programs for', {
  timeout: 120_000,
}, async () => {
  const env = { ...process.env, PATH: folderWith('redis-server') };
  const { stdout } = await run(process.execPath, [MAIN, 'verify', 'unary', 'stream', 'reset', '--json', ...TINY], {
    env,
  });
  const { machine, ratios, rates, latencies, curves, bars, absent } = JSON.parse(stdout);
  expect(absent).toEqual({
    h2load_unary_over_empty: 'there is no h2load here (apt-get install nghttp2-client)',
    stream_over_cpp_unary: expect.stringMatching(/^there is no g\+\+, .*\(apt-get install g\+\+ .*\)$/),
  });
  expect(Object.keys(bars)).toEqual(['verify_cpu', 'unary_cpu', 'stream_cpu']);
  expect(machine).toMatchObject({ cpu: expect.any(String), cores: expect.any(Number), node: process.version });
  expect(ratios).toEqual({
    verify_over_bare: { ...ratio, aim: 1.2, bound: 'at_most' },
    unary_over_empty: { ...ratio, aim: 0.85, bound: 'at_least' },
    stream_over_empty_unary: { ...ratio, aim: 5, bound: 'at_least' },
    reset_p50_over_write_ms: { ...ratio, aim: 5, bound: 'at_most' },
    reset_p99_ms: { ...ratio, aim: 100, bound: 'at_most' },
    resets_per_s: { ...ratio, aim: 500, bound: 'at_least' },
    propagation_p99_ms: { ...ratio, aim: 100, bound: 'at_most' },
    kick_p99_ms: { ...ratio, aim: 100, bound: 'at_most' },
    reset_beside_stopped_max_ms: { ...ratio, aim: 1_100, bound: 'at_most' },
  });
  expect(rates).toEqual({
    verify_over_bare_one_shot: figure,
    bare_cpu_ns_per_operation: figure,
    bare_one_shot_cpu_ns_per_operation: figure,
    decision_cpu_ns_per_operation: figure,
    empty_server_cpu_us_per_call: figure,
    authenticate_server_cpu_us_per_call: figure,
    empty_calls_per_s: figure,
    authenticate_calls_per_s: figure,
    stream_server_cpu_us_per_decision: figure,
    stream_decisions_per_s: figure,
    write_p50_ms: figure,
    write_p99_ms: figure,
    reset_p50_ms: figure,
    propagation_p50_ms: figure,
    kick_p50_ms: figure,
    reset_before_stop_p50_ms: figure,
    reset_until_eviction_p50_ms: figure,
    reset_after_eviction_p50_ms: figure,
    reset_after_return_p50_ms: figure,
  });
  expect(Object.keys(latencies)).toEqual(['unary_latency', 'stream_latency', 'reset_latency']);
  for (const name of ['unary', 'stream']) {
    const shares = [25, 50, 75].map((share) => expect.stringMatching(`^${name} at ${share} % \\([0-9,]+/s\\)$`));
    expect(Object.keys(latencies[`${name}_latency`].series)).toEqual(shares);
  }
  expect(curves.stream_cpu_by_rate.series).toEqual({
    'at a fixed rate': [point, point, point],
    'as many as it takes': [point],
  });
  const { series } = latencies.reset_latency;
  expect(Object.values(series).map((each) => (each as { count: number }).count)).toEqual([10, 10, 10, 4]);
  // A link that closes before the operator has the answer took no time after it.
  const { kick_p99_ms, ...positive } = ratios;
  const { kick_p50_ms, ...others } = rates;
  expect([kick_p99_ms.min, kick_p50_ms.min].every((min) => min >= 0)).toBe(true);
  for (const { median, min, max } of Object.values({ ...positive, ...others }) as (typeof figure)[]) {
    expect(min).toBeGreaterThan(0);
    expect(median).toBeGreaterThanOrEqual(min);
    expect(max).toBeGreaterThanOrEqual(median);
  }
});

test('a server elsewhere is asked, and is left as it was', { timeout: 120_000 }, async () => {
  const processes = new Processes();
  onTestFinished(() => processes.stop());
  const server = await startAuthServer(processes, 1);
  const target = [
    '--target',
    server.field('grpc'),
    '--admin',
    server.field('admin'),
    '--token-file',
    server.field('token'),
  ];
  const { stdout } = await run(process.execPath, [MAIN, ...target, '--json', ...TINY]);
  const { ratios, rates, latencies, absent } = JSON.parse(stdout);
  expect(ratios).toEqual({});
  expect(rates).toEqual({ authenticate_calls_per_s: figure, stream_decisions_per_s: figure });
  for (const { median } of Object.values(rates) as (typeof figure)[]) expect(median).toBeGreaterThan(0);
  expect(Object.keys(latencies)).toEqual(['unary_latency', 'stream_latency']);
  expect(absent.stream_over_empty_unary).toBe('the CPU time of a server elsewhere is not known here');
  const { register } = operatorOf(server);
  await Promise.all([0, 1, 2].map(register)); // would be refused if it were there
});

test('the suite mqtt has figures of all four sides, plain and over TLS', { timeout: 240_000 }, async () => {
  const { stdout } = await run(process.execPath, [MAIN, 'mqtt', '--json', ...TINY]);
  const { ratios, rates, bars, absent } = JSON.parse(stdout);
  expect([ratios, absent]).toEqual([{}, {}]);
  for (const plot of ['mqtt_cpu', 'mqtts_cpu']) expect(Object.keys(bars[plot].bars)).toHaveLength(4);
  const names = ['mqtt', 'mqtts'].flatMap((prefix) => [
    ...['embedded', 'front_door', 'mosquitto', 'rabbitmq'].flatMap((side) => [
      `${prefix}_${side}_cpu_us_per_connect`,
      `${prefix}_${side}_connects_per_s`,
    ]),
    ...['embedded_gateway', 'embedded_auth', 'front_door_gateway', 'front_door_auth', 'front_door_mosquitto'].map(
      (process) => `${prefix}_${process}_cpu_us_per_connect`,
    ),
    ...['embedded', 'front_door'].flatMap((ours) =>
      ['mosquitto', 'rabbitmq'].map((other) => `${prefix}_${ours}_over_${other}_cpu`),
    ),
  ]);
  expect(rates).toEqual(Object.fromEntries(names.map((name) => [name, figure])));
  const sums = Object.keys(rates).filter((name) => /^mqtts?_[a-z]+(_door)?_cpu_us_per_connect$/.test(name));
  expect(sums).toHaveLength(8);
  for (const name of sums) expect(rates[name].min).toBeGreaterThan(0);
});

test('the suite workers has the cost with one worker and with two, which share the questions', {
  timeout: 120_000,
}, async () => {
  const { stdout } = await run(process.execPath, [MAIN, 'workers', '--json', ...TINY]);
  const { ratios, rates } = JSON.parse(stdout);
  expect(ratios).toEqual({ workers_2_over_1_cpu: { ...ratio, aim: 1.5, bound: 'at_most' } });
  expect(rates).toEqual({
    workers_1_server_cpu_us_per_decision: figure,
    workers_2_server_cpu_us_per_decision: figure,
    workers_1_decisions_per_s: figure,
    workers_2_decisions_per_s: figure,
    workers_2_busiest_cpu_percent: figure,
  });
  expect(ratios.workers_2_over_1_cpu.min).toBeGreaterThan(0);
  expect(rates.workers_2_busiest_cpu_percent.max).toBeLessThan(90);
});

test('the suite coap has figures of our gateway and of libcoap', { timeout: 120_000 }, async () => {
  const { stdout } = await run(process.execPath, [MAIN, 'coap', '--json', ...TINY]);
  const { ratios, rates } = JSON.parse(stdout);
  expect(ratios).toEqual({});
  const cases = { coap_psk: 'handshake', coap_ecdhe_psk: 'handshake', coap_discovery: 'request' };
  const names = Object.entries(cases).flatMap(([name, operation]) => [
    ...['latchkey', 'latchkey_gateway', 'latchkey_auth', 'libcoap'].map(
      (of) => `${name}_${of}_cpu_us_per_${operation}`,
    ),
    ...['latchkey', 'libcoap'].map((side) => `${name}_${side}_${operation}s_per_s`),
    `${name}_latchkey_over_libcoap_cpu`,
  ]);
  const report = ['', '_gateway', '_auth', '_broker'].map((of) => `coap_report_latchkey${of}_cpu_us_per_request`);
  const all = [...names, ...report, 'coap_report_latchkey_requests_per_s'];
  expect(rates).toEqual(Object.fromEntries(all.map((name) => [name, figure])));
  for (const name of all.filter((each) => !/_(auth|broker)_/.test(each))) expect(rates[name].min).toBeGreaterThan(0);
});

test('a named suite runs alone, and its table names machine and ratio', { timeout: 60_000 }, async () => {
  const { stdout } = await run(process.execPath, [MAIN, 'verify', ...TINY]);
  expect(stdout).toContain(process.version);
  expect(stdout).toMatch(/^verify_over_bare .* <= 1\.2 /m);
  expect(stdout).not.toContain('unary');
});

test('a call that cannot be is an error in one line', async () => {
  const errors = [
    [['nonsense'], /^error: .* The suites are primitives, verify, unary, .*\n$/],
    [['--target', 'a:1'], /^error: --target needs --admin URL .*\n$/],
    [['--render', join(import.meta.dirname, 'none')], /^error: .*figures\.json holds no figures; measure first\n$/],
  ] as const;
  const ended = errors.map(async ([args, stderr]) => {
    const error = expect.objectContaining({ code: 1, stdout: '', stderr: expect.stringMatching(stderr) });
    await expect(run(process.execPath, [MAIN, ...args])).rejects.toEqual(error);
  });
  await Promise.all(ended);
});
