import { findFunctions } from './functions.ts';
import { type Problem, type Repo, type Rule, sources } from './repo.ts';

/** A file that is longer loses its main path; 400 is where nine in ten of the models' files have long ended. */
export const FILE_LIMIT_LINES = 400;

/** A function that is longer no longer fits a screen. */
export const FUNCTION_LIMIT_LINES = 70;

/** Named exceptions with their ceilings in lines: by path for a file, by PATH#NAME for a function. */
export const EXCEPTIONS_FILE = 'tools/tidy/exceptions.json';

type Exceptions = Readonly<Record<string, { readonly ceilingLines: number; readonly reason: string }>>;
type Sized = { readonly name: string; readonly lines: number; readonly limit: number };

/** Files and functions have a limit; exceptions are named, reasoned, and may only shrink. */
export const sizes: Rule = (repo) => {
  const exceptions = JSON.parse(repo.files.get(EXCEPTIONS_FILE) ?? '{}') as Exceptions;
  const sized = [...fileSizes(repo), ...functionSizes(repo)];
  const tooLong = sized.filter(({ lines, limit }) => lines > limit);
  const excess = tooLong.flatMap((one) => excessOf(one, exceptions));
  const unneeded = Object.keys(exceptions)
    .filter((name) => !tooLong.some((one) => one.name === name))
    .map((name) => `${EXCEPTIONS_FILE}: ${name} is no longer needed, take it out`);
  const unreasoned = Object.entries(exceptions)
    .filter(([, { reason }]) => !/\w/.test(reason))
    .map(([name]) => `${EXCEPTIONS_FILE}: ${name} has no reason`);
  return [...excess, ...unneeded, ...unreasoned];
};

function fileSizes(repo: Repo): Sized[] {
  return sources(repo).map(([name, text]) => ({
    name,
    lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0),
    limit: FILE_LIMIT_LINES,
  }));
}

function functionSizes(repo: Repo): Sized[] {
  return sources(repo).flatMap(([path, text]) =>
    findFunctions(text).map(({ name, line, lines }) => ({
      name: name === '' ? `${path}:${line}` : `${path}#${name}`,
      lines,
      limit: FUNCTION_LIMIT_LINES,
    })),
  );
}

function excessOf({ name, lines, limit }: Sized, exceptions: Exceptions): Problem[] {
  const ceiling = exceptions[name]?.ceilingLines;
  if (ceiling === undefined) return [`${name} has ${lines} lines, the limit is ${limit}`];
  if (lines > ceiling) return [`${name} has ${lines} lines, its exception ends at ${ceiling}`];
  if (lines < ceiling) return [`${EXCEPTIONS_FILE}: ${name} has ${lines} lines, lower its ceiling from ${ceiling}`];
  return [];
}
