import { join, resolve } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { addAuthenticateCommand } from './authenticate.ts';
import { addCaCommands } from './ca.ts';
import { addCertificateCommands } from './certificate.ts';
import { DEFAULT_ADMIN } from './client.ts';
import { attachTo } from './command.ts';
import { addCredentialCommands } from './credential.ts';
import { addDeviceCommands } from './device.ts';
import { CliError, EXIT, type ExitCode, usageError } from './errors.ts';
import type { Answer } from './output.ts';
import type { Outside } from './outside.ts';
import { addRotationCommands } from './rotation.ts';

const PROJECT_DIR = resolve(import.meta.dirname, '../../..');

const HELP = `
Where the server is: --admin, else endpoints.json in the data directory, else ${DEFAULT_ADMIN}.
The operator's token: --token-file, else LATCHKEY_TOKEN (the token itself), else the data directory's.

With --json the answer is one JSON object on standard output, and a failure is
{"error":{"code":...,"message":...}} on standard error. 64-bit numbers are text.

Exit codes:
  0  done; granted
  1  failed
  2  wrong option or argument
  3  denied (authenticate)
  4  not found
  5  conflict: it exists already, or has another revision
  6  unavailable: no server, no answer, or no decision`;

/** Runs one command line, without the program's name; gives the exit code. Never rejects. */
export async function runCli(args: readonly string[], outside: Outside): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok;
  // Commander writes its own errors; they are kept back so that --json has a say in their form.
  let written = '';
  const program = createProgram({ ...outside, complain: (text) => (written += text) }, (answer) => {
    exitCode = answer.exitCode ?? EXIT.ok;
    show(answer, program.opts<{ json?: true }>().json === true, outside);
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    const failure = error instanceof CommanderError ? usage(error, written) : asFailure(error);
    const { code, message } = failure;
    // A wrong option may have kept the parser from reading --json.
    const text = args.includes('--json') ? JSON.stringify({ error: { code, message } }) : `latchkey: ${message}`;
    outside.complain(`${text}\n`);
    return failure.exitCode;
  }
}

function createProgram(outside: Outside, done: (answer: Answer) => void): Command {
  const program = new Command('latchkey')
    .description('Registers IoT devices and resets their credentials.')
    .option('--json', 'answer in JSON')
    .addOption(new Option('--admin <url>', "URL of the server's listener for operators").env('LATCHKEY_ADMIN'))
    .addOption(new Option('--token-file <file>', "file with the operator's token"))
    .addOption(
      new Option('--data-dir <dir>', 'data directory of a server on this machine')
        .env('LATCHKEY_DATA_DIR')
        .default(join(PROJECT_DIR, '.latchkey')),
    )
    .addHelpText('after', HELP)
    .exitOverride()
    .configureOutput({ writeOut: outside.print, writeErr: outside.complain });
  const attach = attachTo(outside, done);
  addDeviceCommands(program, attach);
  addCredentialCommands(program, attach);
  addRotationCommands(program, attach);
  addCaCommands(program, attach);
  addCertificateCommands(program, attach);
  addAuthenticateCommand(program, attach);
  return program;
}

function show(answer: Answer, json: boolean, outside: Outside): void {
  outside.print(`${json ? JSON.stringify(answer.json) : answer.text}\n`);
  if (!json && answer.note !== undefined) outside.complain(`${answer.note}\n`);
}

function usage(error: CommanderError, written: string): CliError {
  // A group without a command: commander writes its whole help.
  if (error.code === 'commander.help') return usageError('a command is missing; --help lists them');
  return usageError(written.trim().replace(/^error: /, ''));
}

function asFailure(error: unknown): CliError {
  if (error instanceof CliError) return error;
  return new CliError(EXIT.failed, 'failed', error instanceof Error ? error.message : String(error));
}
