import { text } from 'node:stream/consumers';
import { run } from './program.ts';
import type { System } from './system.ts';

/** How a command ended. */
export type Outcome = {
  readonly code: number;
  /** The JSON object on standard output, else that on standard error. */
  readonly json: Readonly<Record<string, unknown>>;
};

/** Runs the command line tool as an operator of this machine does; `--json` is added. */
export async function tryCli(system: System, ...args: readonly string[]): Promise<Outcome> {
  const where = ['--data-dir', system.dataDir, '--admin', system.admin];
  const child = run('tools/cli/bin/latchkey.mjs', ['--json', ...where, ...args]);
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes');
  const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, json: JSON.parse(stdout === '' ? stderr : stdout) };
}

/** The same for a command that must succeed. */
export async function cli(system: System, ...args: readonly string[]): Promise<Outcome['json']> {
  const { code, json } = await tryCli(system, ...args);
  if (code !== 0) throw new Error(`latchkey ${args.join(' ')} ended with ${code}: ${JSON.stringify(json)}`);
  return json;
}

/** Runs a command that must answer a secret, and gives the secret. */
export async function cliSecret(system: System, ...args: readonly string[]): Promise<string> {
  const { secret } = await cli(system, ...args);
  if (typeof secret !== 'string') throw new Error(`latchkey ${args.join(' ')} answered no secret`);
  return secret;
}
