import { isTest, type Problem, type Repo, type Rule, sources } from './repo.ts';
import { tokenize } from './tokens.ts';

/** The page where every cache is accounted for. */
export const CACHING_PAGE = 'docs/caching.md';

/** What a cache's block says, each in a line `- Key: ...` or a row `| Key | ... |`. */
export const CACHE_FACTS = ['Key', 'Value', 'Bound', 'Invalidation', 'Worst staleness', 'Metric'];

type Block = { readonly heading: string; readonly text: string };

/** Every `new LRUCache` in libs and services has a block of its own in docs/caching.md that names its file. */
export const cachesDocumented: Rule = (repo) => {
  const blocks = blocksOf(repo.files.get(CACHING_PAGE) ?? '');
  return cacheCounts(repo).flatMap(([path, count]) => {
    const own = blocks.filter(({ text }) => text.includes(path));
    if (own.length < count)
      return [`${CACHING_PAGE}: ${own.length} of ${count} caches of ${path} have a block that names it`];
    return own.flatMap(missingFacts);
  });
};

function missingFacts({ heading, text }: Block): Problem[] {
  return CACHE_FACTS.filter(
    (fact) => !new RegExp(`^\\s*[-*|]\\s*\\**${fact}\\b[^\\n]*[:|]\\**\\s*\\S`, 'im').test(text),
  ).map((fact) => `${CACHING_PAGE}: the block "${heading}" has no line "${fact}"`);
}

function cacheCounts(repo: Repo): [string, number][] {
  const mayCache = (path: string) => /^(libs|services)\//.test(path) && !isTest(path);
  return sources(repo, mayCache)
    .map(([path, text]): [string, number] => {
      const made = tokenize(text).filter(
        ({ text }, at, tokens) => text === 'LRUCache' && tokens[at - 1]?.text === 'new',
      );
      return [path, made.length];
    })
    .filter(([, count]) => count > 0);
}

function blocksOf(page: string): Block[] {
  return page
    .split(/^#+ /m)
    .slice(1)
    .map((text) => ({ heading: text.split('\n')[0] ?? '', text }));
}
