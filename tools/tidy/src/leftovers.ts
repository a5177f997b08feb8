import { isForeign, isTest, type Rule, sources } from './repo.ts';
import { type Token, tokenize } from './tokens.ts';

const TEST_CALLS = new Set(['describe', 'it', 'test', 'suite', 'bench']);
const LEAVES_OUT = new Set(['only', 'skip', 'todo', 'skipIf', 'runIf']);
const UNFINISHED = /\b(?:TODO|FIXME|XXX)\b/;
const MACHINE_PATH = /(?<![\w.~-])\/(?:work|home|root)\/\w/;
/** The rules and their tests name what they look for. */
const OWN = 'tools/tidy/src/';

/** No test is left out and none runs alone. */
export const noTestLeftOut: Rule = (repo) =>
  sources(repo, isTest).flatMap(([path, text]) =>
    tokenize(text).flatMap((token, at, tokens) =>
      LEAVES_OUT.has(token.text) && isTestChain(tokens, at)
        ? [`${path}:${token.line} .${token.text} leaves tests out`]
        : [],
    ),
  );

/** `it.only`, `describe.concurrent.skip` and so on, and no method that happens to have such a name. */
function isTestChain(tokens: readonly Token[], at: number): boolean {
  let before = at;
  while (tokens[before - 1]?.text === '.') before -= 2;
  return before !== at && TEST_CALLS.has(tokens[before]?.text ?? '');
}

/** No word that says that something is unfinished. */
export const nothingUnfinished: Rule = (repo) =>
  linesWith(repo.files, UNFINISHED, 'is a leftover: finish it or file it');

/** No absolute path of somebody's machine. */
export const noMachinePaths: Rule = (repo) => linesWith(repo.files, MACHINE_PATH, 'is a path of one machine');

function linesWith(files: ReadonlyMap<string, string>, pattern: RegExp, what: string): string[] {
  return [...files]
    .filter(([path]) => !isForeign(path) && !path.startsWith(OWN))
    .flatMap(([path, text]) =>
      text.split('\n').flatMap((line, at) => {
        const found = pattern.exec(line)?.[0];
        return found === undefined ? [] : [`${path}:${at + 1} ${found} ${what}`];
      }),
    );
}
