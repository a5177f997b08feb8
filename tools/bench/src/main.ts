import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { describeMachine } from './machine.ts';
import type { Findings } from './measure.ts';
import { Processes } from './processes.ts';
import { SUITES } from './suites.ts';
import { tableOf } from './table.ts';

type Flags = {
  readonly quick: boolean;
  readonly json: boolean;
  readonly rounds?: number;
  readonly scale: number;
};

const EXIT_INTERRUPTED = 130;
const MAX_ROUNDS = 1_000;

const command = new Command('bench')
  .description('Measures Latchkey against what it is made of, as ratios within one run.')
  .addArgument(new Argument('[suites...]', 'what to measure (default: everything)').choices(Object.keys(SUITES)))
  .option('--quick', 'fewer devices and rounds: each suite takes less than 40 s', false)
  .option('--json', 'print one JSON object instead of a table', false)
  .addOption(new Option('--rounds <n>', 'measured rounds of each suite').argParser(roundsArgument))
  .addOption(new Option('--scale <x>', 'multiplies counts and durations').argParser(Number).default(1).hideHelp())
  .addHelpText(
    'after',
    '\nThe suite reset needs redis-server; mqtt needs openssl, and mosquitto and rabbitmq-server to compare with.\nExit codes: 0 measured, whether or not the aims are met, 1 an error.',
  )
  .parse();

const processes = new Processes();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void processes.stop().finally(() => process.exit(EXIT_INTERRUPTED)));
}
try {
  await run(command.args, command.opts<Flags>());
} finally {
  await processes.stop();
}

async function run(names: readonly string[], { quick, json, rounds, scale }: Flags): Promise<void> {
  const say = (text: string) => process.stderr.write(`${text}\n`);
  const found: Findings[] = [];
  for (const [name, suite] of Object.entries(SUITES)) {
    if (names.length > 0 && !names.includes(name)) continue;
    found.push(await suite({ quick, rounds, scale, processes, say }));
  }
  const report = {
    machine: describeMachine(),
    ratios: Object.assign({}, ...found.map(({ ratios }) => ratios)),
    rates: Object.assign({}, ...found.map(({ rates }) => rates)),
  };
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : tableOf(report));
}

function roundsArgument(text: string): number {
  const rounds = /^[0-9]+$/.test(text) ? Number(text) : 0;
  if (rounds >= 1 && rounds <= MAX_ROUNDS) return rounds;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_ROUNDS}.`);
}
