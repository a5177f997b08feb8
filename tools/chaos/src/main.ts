import { rmSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { FAULT_KINDS, type FaultKind } from './faults.ts';
import { TREE } from './fleet.ts';
import { mutatedTree } from './mutants.ts';
import { textOf } from './report.ts';
import { run } from './run.ts';
import { STORES } from './servers.ts';

type Flags = {
  readonly seconds: number;
  readonly seed?: number;
  readonly faults: readonly FaultKind[];
  readonly store: keyof typeof STORES;
  readonly replicas: number;
  readonly gateways: number;
  readonly clients: number;
  readonly devices: number;
  readonly changesPerSecond: number;
  readonly baseline: boolean;
  readonly json: boolean;
};

const EXIT_INTERRUPTED = 130;

function wholeNumber(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${low} to ${high}.`);
  };
}

function faultKinds(text: string): readonly FaultKind[] {
  if (text === 'all') return FAULT_KINDS;
  if (text === 'none') return [];
  return text.split(',').map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name);
    if (kind === undefined) throw new InvalidArgumentError(`It is all, none or a list of: ${FAULT_KINDS.join(', ')}.`);
    return kind;
  });
}

const command = new Command('chaos')
  .description('Breaks things under real replicas, and proves that nothing that was taken away is ever accepted again.')
  .addOption(new Option('--seconds <n>', 'length of the run').argParser(wholeNumber(5, 86_400)).default(120))
  .addOption(new Option('--seed <n>', 'determines the faults (default: drawn)').argParser(wholeNumber(0, 0xffff_ffff)))
  .addOption(
    new Option('--faults <list>', 'all, none, or kinds with commas').argParser(faultKinds).default(FAULT_KINDS, 'all'),
  )
  .addOption(new Option('--store <kind>', 'what the replicas share').choices(Object.keys(STORES)).default('standalone'))
  .addOption(new Option('--replicas <n>', 'how many').argParser(wholeNumber(2, 16)).default(3))
  .addOption(
    new Option('--gateways <n>', 'how many; every other one is told of all replicas')
      .argParser(wholeNumber(1, 16))
      .default(2),
  )
  .addOption(
    new Option('--clients <n>', 'MQTT clients, at most one a device').argParser(wholeNumber(0, 1_000)).default(40),
  )
  .addOption(new Option('--devices <n>', 'how many').argParser(wholeNumber(10, 10_000)).default(100))
  .addOption(new Option('--changes-per-second <n>', 'at most').argParser(wholeNumber(1, 1_000)).default(50))
  .option('--baseline', 'then run the plain design under the same faults: a cache that messages invalidate', false)
  .option('--json', 'print one JSON object', false)
  .addHelpText(
    'after',
    `\nFaults: ${FAULT_KINDS.join(', ')}.\nExit codes: 0 nothing wrong, 1 a violation, a false rejection or an error.`,
  )
  .parse();

const flags = command.opts<Flags>();
const seed = flags.seed ?? Math.floor(Math.random() * 0x1_0000_0000);
// Only several servers have one that can take another's place.
const kinds = flags.faults.filter((kind) => kind !== 'failover' || flags.store !== 'standalone');
const begun = performance.now();
const say = (line: string) =>
  process.stderr.write(`${((performance.now() - begun) / 1_000).toFixed(1).padStart(7)} ${line}\n`);
const runOn = (tree: string) => run({ ...flags, kinds, seed, tree, startServers: STORES[flags.store], say });

// Redis and the replicas end with the process, but only with an orderly exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(EXIT_INTERRUPTED));
say(`seed ${seed}`);
const report = await runOn(TREE);
const baseline = flags.baseline ? await runBaseline() : undefined;
if (flags.json) {
  process.stdout.write(`${JSON.stringify(baseline === undefined ? report : { ...report, baseline })}\n`);
} else {
  process.stdout.write(textOf(report));
  if (baseline !== undefined) process.stdout.write(`\nthe plain design\n${textOf({ ...baseline, examples: [] })}`);
}
process.exitCode = report.violations > 0 || report.falseRejections > 0 ? 1 : 0;

async function runBaseline() {
  const tree = mutatedTree(TREE, 'baseline');
  try {
    say('the plain design');
    return await runOn(tree);
  } finally {
    rmSync(tree, { recursive: true });
  }
}
