import { Code, ConnectError } from '@connectrpc/connect';

/** How a command ends; `HELP` of the program shows the table. */
export const EXIT = { ok: 0, failed: 1, usage: 2, denied: 3, notFound: 4, conflict: 5, unavailable: 6 } as const;

/** An exit code of the table. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A failure that the operator can act on: how to end, a code for programs in snake_case, and words. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;
  readonly code: string;

  constructor(exitCode: ExitCode, code: string, message: string) {
    super(message);
    this.exitCode = exitCode;
    this.code = code;
  }
}

/** A wrong option or argument. */
export function usageError(message: string): CliError {
  return new CliError(EXIT.usage, 'usage', message);
}

/** Where a call went and whose token it bore, for messages. */
export type CallOrigin = { readonly admin: string; readonly tokenFrom: string; readonly deadlineMs: number };

const EXIT_BY_CODE: Partial<Record<Code, ExitCode>> = {
  [Code.InvalidArgument]: EXIT.usage,
  [Code.NotFound]: EXIT.notFound,
  [Code.AlreadyExists]: EXIT.conflict,
  [Code.Aborted]: EXIT.conflict,
  [Code.Unavailable]: EXIT.unavailable,
  [Code.DeadlineExceeded]: EXIT.unavailable,
};

/** What a failed call means to the operator. Errors that are not the call's come back as they are. */
export function explain(error: unknown, { admin, tokenFrom, deadlineMs }: CallOrigin): unknown {
  if (!(error instanceof ConnectError)) return error;
  const exitCode = EXIT_BY_CODE[error.code] ?? EXIT.failed;
  const fail = (message: string) => new CliError(exitCode, codeName(error.code), message);
  if (neverArrived(error))
    return fail(`cannot reach ${admin} (${systemCode(error)}): does it run? "npm start" starts it`);
  switch (error.code) {
    case Code.DeadlineExceeded:
      return fail(`no answer from ${admin} within ${deadlineMs / 1000} s`);
    case Code.Unauthenticated:
      return fail(`${admin} does not accept the token of ${tokenFrom}`);
    case Code.Unimplemented:
      return fail(`${admin} does not offer this: is it the operators' address of a Latchkey of this version?`);
    default:
      return fail(error.rawMessage || codeName(error.code));
  }
}

/** Whether a repeated call could succeed, given a request id that makes it safe. */
export function isTransient(error: unknown): boolean {
  return error instanceof ConnectError && (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded);
}

function codeName(code: Code): string {
  return Code[code].replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

function neverArrived(error: ConnectError): boolean {
  return systemCode(error) !== undefined;
}

/** The code of the system's error below, such as ECONNREFUSED; undefined: the server itself answered. */
function systemCode(error: ConnectError): string | undefined {
  const { cause } = error;
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return undefined;
  return cause.code;
}
