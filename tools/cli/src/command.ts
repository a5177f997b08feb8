import { readFile, stat } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Api, connectTo, type Place } from './client.ts';
import { usageError } from './errors.ts';
import type { Answer } from './output.ts';
import type { Outside } from './outside.ts';

/** What a command works with. */
export type Call = { readonly api: Api; readonly outside: Outside };

/** Does a command's work; the first id is empty when the command was given none. Throws a CliError. */
export type Handler<Options> = (call: Call, options: Options, id: string, ...more: string[]) => Promise<Answer>;

/** Gives a command its work; the program prints the answer. */
export type Attach = <Options extends object>(command: Command, handler: Handler<Options>) => void;

/** Options that every command has. */
export type GlobalOptions = Place & { readonly json?: true };

/** An attach function whose answers go to `done`. */
export function attachTo(outside: Outside, done: (answer: Answer) => void): Attach {
  return (command, handler) => {
    command.action(async () => {
      const api = await connectTo(command.optsWithGlobals<GlobalOptions>(), outside.token);
      const [id = '', ...more] = command.args;
      done(await handler({ api, outside }, command.opts(), id, ...more));
    });
  };
}

/** Options by which a secret is told. */
export type SecretOptions = { readonly secret?: string; readonly secretFile?: string };

/** A secret has at most 32 characters; a longer file is another one. */
const SECRET_FILE_MAX_BYTES = 4096;

/** `--secret` and `--secret-file`, which exclude each other. */
export function secretOptions(what: string): readonly [Option, Option] {
  return [
    new Option('--secret <text>', `${what}; other users of this machine see it in the list of processes`).conflicts(
      'secretFile',
    ),
    new Option('--secret-file <file>', `file that holds ${what}; - reads standard input`),
  ];
}

/** The secret that the options tell, without a last end of line; undefined when they tell none. Throws a CliError. */
export async function readSecret(options: SecretOptions, outside: Outside): Promise<string | undefined> {
  const { secret, secretFile } = options;
  if (secret === '-' || secretFile === '-') return (await outside.readInput()).replace(/\r?\n$/, '');
  if (secretFile === undefined) return secret;
  return (await readSmallFile(secretFile, SECRET_FILE_MAX_BYTES)).toString('utf8').replace(/\r?\n$/, '');
}

/** A file's bytes. Throws a CliError when it cannot be read or has more than `maxBytes`. */
export async function readSmallFile(path: string, maxBytes: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return await readFile(path);
  } catch (error) {
    throw usageError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

/** Reads an option's whole number within bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Options of a write that may be repeated. */
export type WriteOptions = { readonly expectedRevision?: bigint; readonly requestId?: string };

/** `--request-id`. */
export function requestIdOption(): Option {
  return new Option(
    '--request-id <uuid>',
    'the id of an earlier attempt whose outcome is unknown (default: a new one)',
  );
}

/** `--expected-revision`. */
export function expectedRevisionOption(): Option {
  return new Option('--expected-revision <n>', 'write only if the device has this revision').argParser(revision);
}

/** The fields of a write's request that its options fill. */
export function writeFields(
  options: WriteOptions,
  outside: Outside,
): { readonly requestId: string; readonly expectedRevision?: bigint } {
  const { expectedRevision, requestId = outside.uuid() } = options;
  return { requestId, ...(expectedRevision !== undefined && { expectedRevision }) };
}

function revision(text: string): bigint {
  if (/^[0-9]{1,16}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError('It must be a whole number.');
}
