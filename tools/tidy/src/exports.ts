import { basename } from 'node:path';
import { type Problem, type Repo, type Rule, sources } from './repo.ts';
import { type Token, tokenize } from './tokens.ts';

const FORBIDDEN_PARTS = new Set(['impl', 'manager', 'base', 'helper', 'helpers', 'util', 'utils']);
const DECLARATORS = new Set(['const', 'let', 'function', 'class', 'type', 'interface', 'async', 'abstract', 'declare']);
/** `any: REASON` for the reader; a waiver for biome serves as well. */
const ANY_WAIVER = /\/\/ (any|biome-ignore lint\/suspicious\/noExplicitAny): \S/;

/** Named exports only; a configuration file's tool asks for a default. */
export const noDefaultExports: Rule = (repo) =>
  sources(repo, (path) => !/\.config\.[mc]?ts$/.test(path)).flatMap(([path, text]) =>
    tokenize(text).flatMap((token, at, tokens) =>
      token.text === 'default' && ['export', 'as'].includes(tokens[at - 1]?.text ?? '')
        ? [`${path}:${token.line} default export: name it`]
        : [],
    ),
  );

/** Names that say nothing: in file names and in exported names; and no interface begins with an I. */
export const noEmptyNames: Rule = (repo: Repo) =>
  sources(repo).flatMap(([path, text]) => {
    const tokens = tokenize(text);
    const named = [{ name: basename(path), line: 1 }, ...exportedNames(tokens)].flatMap(({ name, line }): Problem[] => {
      const part = wordsOf(name).find((word) => FORBIDDEN_PARTS.has(word));
      return part === undefined ? [] : [`${path}:${line} the name ${name} holds "${part}": say what it does`];
    });
    const interfaces = tokens.flatMap((token, at) =>
      token.text === 'interface' && /^I[A-Z][a-z]/.test(tokens[at + 1]?.text ?? '')
        ? [`${path}:${token.line} interface ${tokens[at + 1]?.text}: no leading I`]
        : [],
    );
    return [...named, ...interfaces];
  });

/** No `any` without its reason in a comment on the same line or the line above. */
export const noUnreasonedAny: Rule = (repo) =>
  sources(repo).flatMap(([path, text]) => {
    const lines = text.split('\n');
    return tokenize(text).flatMap((token, at, tokens) => {
      if (token.kind !== 'word' || token.text !== 'any' || !isType(tokens, at)) return [];
      const waived = [lines[token.line - 1], lines[token.line - 2]].some((line) => ANY_WAIVER.test(line ?? ''));
      return waived ? [] : [`${path}:${token.line} any without "// any: REASON"`];
    });
  });

/** A member or a variable may be called any: `x.any`, `any(`, `any:`. */
function isType(tokens: readonly Token[], at: number): boolean {
  return tokens[at - 1]?.text !== '.' && !['(', ':', '.'].includes(tokens[at + 1]?.text ?? '');
}

/** `storeBaseUrl`, `store-base-url` and `STORE_BASE` hold the same word `base`; `toBase64` does not. */
function wordsOf(name: string): string[] {
  return (name.match(/[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])/g) ?? []).map((word) => word.toLowerCase());
}

function exportedNames(tokens: readonly Token[]): { name: string; line: number }[] {
  return tokens.flatMap((token, at) => {
    if (token.text !== 'export' || token.kind !== 'word') return [];
    let next = at + 1;
    while (DECLARATORS.has(tokens[next]?.text ?? '')) next += 1;
    if (tokens[next]?.text !== '{') return [{ name: tokens[next]?.text ?? '', line: token.line }];
    const end = tokens.findIndex((other, index) => index > next && other.text === '}');
    return tokens.slice(next + 1, end).map(({ text, line }) => ({ name: text, line }));
  });
}
