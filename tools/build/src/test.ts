import { checks, programs, tests } from './steps.ts';
import { lastLine, sum } from './tally.ts';

const USAGE = `usage: npm test -- [OPTIONS] [VITEST ARGUMENTS]

Checks everything, in three steps:
  1. programs             curl, redis-server, mosquitto_pub, mosquitto and rabbitmq-server, which tests
                          run; as root on Debian missing ones are installed, else you are told how
  2. lint and typecheck   every package, by Nx, which remembers what has not changed
  3. tests                vitest over every package

The last line says how many checks passed and failed: each test is one, and so is each package's
lint and typecheck. The exit code is 0 when none failed and at least one test ran.

  --verbose   show the output of lint and typecheck even when they pass
  --help      this text
  the rest    goes to vitest: npm test -- libs/store    only test files whose path holds libs/store
                              npm test -- -t 'resets'   only tests whose name matches
              steps 1 and 2 are the same all the same
`;

const tell = (line: string) => console.error(`test: ${line}`);

async function main(args: readonly string[]): Promise<number> {
  const checked = await checks(tell, args.includes('--verbose'));
  const tested = await tests(
    tell,
    args.filter((arg) => arg !== '--verbose' && arg !== '--'),
  );
  const ran = tested.passed + tested.failed;
  if (ran === 0) tell('tests: none ran, which counts as a failure');
  const total = sum([checked, tested, { passed: 0, failed: ran === 0 ? 1 : 0, skipped: 0 }]);
  console.log(lastLine(total));
  return total.failed === 0 ? 0 : 1;
}

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  console.log(USAGE);
} else {
  try {
    await programs(tell);
    process.exitCode = await main(args);
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    console.log(lastLine({ passed: 0, failed: 1, skipped: 0 }));
    process.exitCode = 1;
  }
}
