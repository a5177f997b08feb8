import { describe, expect, it } from 'vitest';
import { CACHE_FACTS, CACHING_PAGE, cachesDocumented } from './caches.ts';
import { linksResolve } from './links.ts';
import { GATEWAY_FILES, gatewaysAlike, reasonsAgree, reasonsAnswered, reasonsDocumented } from './reasons.ts';
import { repoOf } from './repo.ts';

describe('linksResolve', () => {
  const check = (text: string) =>
    linksResolve(
      repoOf({ 'docs/a.md': text, 'docs/adr/b.md': '# Top\n\n## A `b` & [c](x.md)!\n## Same\n## Same\n', dev: '' }),
    ).filter((problem) => problem.startsWith('docs/a.md'));

  it('finds links to missing files and headings', () => {
    expect(check('\n[a](gone.md)')).toEqual(['docs/a.md:2 the link gone.md leads nowhere: no docs/gone.md']);
    expect(check('[a](adr/b.md#gone)')).toEqual([
      'docs/a.md:1 the link adr/b.md#gone leads nowhere: no heading #gone in docs/adr/b.md',
    ]);
    expect(check('[a](#here)')).toHaveLength(1);
    expect(check('[a]: ../gone')).toHaveLength(1);
    expect(check('![a](a.png "title")')).toHaveLength(1);
  });

  it('lets good links and code pass', () => {
    const good =
      '# Here\n[a](adr/b.md) [b](adr/b.md#a-b--c) [c](adr/b.md#same-1) [d](../dev) [e](adr/) [f](#here) [g](https://x.example)';
    expect(check(`${good}\n\`[a](gone)\`\n\`\`\`\n[a](gone)\n\`\`\`\n`)).toEqual([]);
  });
});

describe('deny reasons', () => {
  const DECISION = "export const DENY_REASONS = [\n  'FROZEN',\n  'WRONG_KIND',\n] as const;\nconst x = ['OTHER'];";
  const reasons = { 'libs/credential/src/decision.ts': DECISION };

  it('must stand in a table of docs/reasons.md', () => {
    expect(reasonsDocumented(repoOf(reasons))).toEqual(['docs/reasons.md: there is no such page']);
    const page = '| `FROZEN` | 5 |\nand `WRONG_KIND` in prose';
    expect(reasonsDocumented(repoOf({ ...reasons, 'docs/reasons.md': page }))).toEqual([
      'docs/reasons.md: no row of a table holds `WRONG_KIND`',
    ]);
  });

  it('must be answered by every gateway', () => {
    const file = 'services/coap-gateway/src/answer.ts';
    const check = (text: string) => reasonsAnswered(repoOf({ ...reasons, [file]: text }));
    expect(check("case 'FROZEN': // WRONG_KIND")).toEqual([`${file}: does not answer WRONG_KIND`]);
    expect(check('case DenyReason.FROZEN: case DenyReason.DENY_REASON_WRONG_KIND:')).toEqual([]);
    expect(reasonsAnswered(repoOf({ ...reasons, 'services/coap-gateway/src/main.ts': '' }))).toEqual([
      `${file}: there is no answer table`,
    ]);
  });

  it('must be the same in proto and code', () => {
    const proto =
      'enum DenyReason {\n  DENY_REASON_UNSPECIFIED = 0;\n  DENY_REASON_FROZEN = 1;\n  DENY_REASON_NEW = 2;\n}';
    expect(reasonsAgree(repoOf({ ...reasons, 'proto/latchkey/v1/types.proto': proto }))).toEqual([
      'proto/latchkey/v1/types.proto: no DENY_REASON_WRONG_KIND',
      'libs/credential/src/decision.ts: no NEW',
    ]);
    expect(reasonsAgree(repoOf({}))).toEqual(['libs/credential/src/decision.ts: no DENY_REASONS found']);
  });
});

describe('gatewaysAlike', () => {
  it('finds a file that a gateway lacks', () => {
    const files = GATEWAY_FILES.map((name) => [`services/coap-gateway/src/${name}.ts`, '']);
    expect(gatewaysAlike(repoOf(Object.fromEntries(files)))).toEqual([]);
    expect(gatewaysAlike(repoOf(Object.fromEntries(files.slice(1))))).toEqual([
      'services/coap-gateway/src/main.ts: missing; every gateway has it',
    ]);
  });
});

describe('cachesDocumented', () => {
  const FILE = 'libs/a/src/cache.ts';
  const cache = { [FILE]: 'const cache = new LRUCache<string, string>({ max: 1 });' };
  const block = (facts: readonly string[]) =>
    `## Records\n\`${FILE}\`\n${facts.map((fact) => `- **${fact}**: some`).join('\n')}\n`;

  it('wants a block with every fact', () => {
    expect(cachesDocumented(repoOf(cache))).toEqual([
      `${CACHING_PAGE}: 0 of 1 caches of ${FILE} have a block that names it`,
    ]);
    expect(cachesDocumented(repoOf({ ...cache, [CACHING_PAGE]: block(CACHE_FACTS) }))).toEqual([]);
    expect(cachesDocumented(repoOf({ ...cache, [CACHING_PAGE]: block(CACHE_FACTS.slice(1)) }))).toEqual([
      `${CACHING_PAGE}: the block "Records" has no line "Key"`,
    ]);
    const table = `# A\n${FILE}\n${CACHE_FACTS.map((fact) => `| ${fact} | some |`).join('\n')}`;
    expect(cachesDocumented(repoOf({ ...cache, [CACHING_PAGE]: table }))).toEqual([]);
  });

  it('wants one for each cache of a file', () => {
    const two = { [FILE]: 'new LRUCache({}); new LRUCache({});', [CACHING_PAGE]: block(CACHE_FACTS) };
    expect(cachesDocumented(repoOf(two))).toHaveLength(1);
  });
});
