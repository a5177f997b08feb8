import { isTest, type Rule, sources } from './repo.ts';
import { type Token, tokenize } from './tokens.ts';

/** Calls that hide an input: time, chance and environment are arguments. */
const HIDDEN_INPUTS = ['Date.now', 'Math.random', 'process.env', 'new Date()'].map((call) => ({
  call,
  words: tokenize(call).map(({ text }) => text),
}));

const ALLOWED_FILES = new Set(['libs/kernel/src/clock.ts', 'libs/kernel/src/random.ts']);

function mayReadThem(path: string): boolean {
  const isEdge = path.startsWith('libs/runtime/') || path.startsWith('tools/') || path.endsWith('/main.ts');
  return isEdge || isTest(path) || ALLOWED_FILES.has(path) || !path.includes('/src/');
}

/** Clock, chance and environment are read in the runtime library, in main.ts, in tests and in tools only. */
export const inputsAreArguments: Rule = (repo) =>
  sources(repo, (path) => !mayReadThem(path)).flatMap(([path, text]) =>
    tokenize(text).flatMap((token, at, tokens) => {
      const input = HIDDEN_INPUTS.find(({ words }) => startsAt(tokens, at, words));
      return input === undefined ? [] : [`${path}:${token.line} ${input.call}: take it as an argument`];
    }),
  );

function startsAt(tokens: readonly Token[], at: number, words: readonly string[]): boolean {
  return words.every((word, offset) => tokens[at + offset]?.text === word) && tokens[at - 1]?.text !== '.';
}
