import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { DOCS, Document, describeCommit } from './figures.ts';
import { describeMachine } from './machine.ts';
import { Processes } from './processes.ts';
import { merged } from './report.ts';
import { runSuites } from './run.ts';
import { ALL, chosenSuites, SUITES } from './suites.ts';
import { tableOf } from './table.ts';
import { type TargetFlags, targetOf } from './target.ts';

type Flags = TargetFlags & {
  readonly quick: boolean;
  readonly json: boolean;
  readonly rounds?: number;
  readonly scale: number;
  readonly write?: string | true;
  readonly render?: string | true;
};

const EXIT_INTERRUPTED = 130;
const MAX_ROUNDS = 1_000;
const ISO_DATE = 'YYYY-MM-DD'.length;

const command = new Command('bench')
  .description('Measures Latchkey against what it is made of and what stands beside it, as ratios within one run.')
  .addArgument(new Argument('[suites...]', 'what to measure (default: all)').argParser(suiteArgument))
  .option('--quick', 'fewer devices and rounds: each suite takes less than 40 s', false)
  .option('--json', 'print one JSON object instead of tables', false)
  .addOption(new Option('--rounds <n>', 'measured rounds of each suite').argParser(roundsArgument))
  .option('--write [folder]', 'write benchmarks.md and its plots into docs, or into this folder')
  .addOption(
    new Option('--render [folder]', 'measure nothing; write them anew from the figures that are kept there').conflicts([
      'write',
      'json',
    ]),
  )
  .option('--target <host:port>', 'ask the gRPC listener of a server elsewhere, in the clear (unary and stream can)')
  .option('--admin <url>', 'with --target: its admin listener, http or https, where the devices are registered')
  .option('--token-file <file>', 'with --target: the file that holds its operator token')
  .addOption(new Option('--scale <x>', 'multiplies counts and durations').argParser(Number).default(1).hideHelp())
  .addHelpText('after', helpText)
  .parse();

const processes = new Processes();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void processes.stop().finally(() => process.exit(EXIT_INTERRUPTED)));
}
try {
  await run(command.processedArgs[0] as readonly string[], command.opts<Flags>());
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  await processes.stop();
}
// A suite that failed may have left clients behind, which would look for their server for ever.
process.exit();

async function run(names: readonly string[], flags: Flags): Promise<void> {
  const { quick, json, rounds, scale, write, render } = flags;
  if (render !== undefined) return documentIn(render).render();
  const target = targetOf(flags);
  if (target !== undefined && write === true) throw new Error('with --target, --write needs a folder of its own');
  const [machine, commit] = [describeMachine(), describeCommit()];
  const document = write === undefined ? undefined : documentIn(write);
  const say = (text: string) => process.stderr.write(`${text}\n`);
  const plan = { quick, rounds, scale, processes, say, ...(target === undefined ? {} : { target }) };
  const chosen = chosenSuites(names, target !== undefined);
  const { found, failed } = await runSuites(chosen, plan, (name, findings) => {
    const date = new Date().toISOString().slice(0, ISO_DATE);
    document?.add(name, { command: commandOf(name, flags), commit, date, machine, findings });
  });
  const report = { machine, ...merged(Object.values(found)), failed };
  const text = json ? `${JSON.stringify(report)}\n` : tableOf(report);
  await new Promise((written) => process.stdout.write(text, written));
  if (Object.keys(failed).length > 0) process.exitCode = 1;
}

function documentIn(folder: string | true): Document {
  return new Document(folder === true ? DOCS : folder, SUITES);
}

/** What measures this suite again. */
function commandOf(suite: string, { quick, rounds, target }: Flags): string {
  const flags = [
    ...(quick ? ['--quick'] : []),
    ...(rounds === undefined ? [] : ['--rounds', rounds]),
    ...(target === undefined ? [] : ['--target', target, '...']),
  ];
  return ['npm run bench --', suite, ...flags].join(' ');
}

function suiteArgument(name: string, before: readonly string[] = []): readonly string[] {
  if (name === ALL || Object.hasOwn(SUITES, name)) return [...before, name];
  throw new InvalidArgumentError(`The suites are ${[...Object.keys(SUITES), ALL].join(', ')}.`);
}

function helpText(): string {
  const suites = Object.entries(SUITES).map(([name, { question }]) => `  ${name.padEnd(12)}${wrapped(question)}`);
  return [
    '',
    'Suites:',
    ...suites,
    '',
    'Progress goes to stderr. What a suite has no program for is told, and the rest measured; on Debian it is all',
    'there with: apt-get install redis-server redis-tools openssl mosquitto rabbitmq-server libcoap3-bin nghttp2-client',
    'g++ pkg-config protobuf-compiler protobuf-compiler-grpc libgrpc++-dev',
    '',
    'With --target the rates and latencies are those of this client; the CPU time of the server is not known here.',
    'The devices, bench-dev-..., have secrets that anyone can compute: they are deleted at the end, and the server',
    'should be one that nothing depends on.',
    '',
    'Examples:',
    '  npm run bench -- --quick',
    '  npm run bench -- unary stream --json',
    '  npm run bench -- all --write',
    '  npm run bench -- stream --target 10.0.0.7:7410 --admin http://10.0.0.7:7480 --token-file operator.token',
    '',
    'Exit codes: 0 measured, whether or not the aims are met, 1 an error.',
  ].join('\n');
}

/** Breaks a text into lines that stand beside a name of the help. */
function wrapped(text: string): string {
  const lines = text.match(/.{1,76}(?: |$)/g) ?? [];
  return lines.map((line) => line.trimEnd()).join(`\n${' '.repeat(14)}`);
}

function roundsArgument(text: string): number {
  const rounds = /^[0-9]+$/.test(text) ? Number(text) : 0;
  if (rounds >= 1 && rounds <= MAX_ROUNDS) return rounds;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_ROUNDS}.`);
}
