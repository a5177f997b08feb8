import { dirname, join } from 'node:path/posix';
import { isForeign, type Repo, type Rule } from './repo.ts';

const FENCE = /^(```|~~~)[\s\S]*?^\1[^\n]*$/gm;
const INLINE_CODE = /`[^`\n]*`/g;
/** `[text](target)`, `![text](target "title")`, and `[label]: target`. */
const LINK = /\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)/gm;
const HEADING = /^#{1,6}\s+(.+?)\s*#*$/gm;
const ANCHOR = /<a\s+(?:id|name)="([^"]+)"/g;

/** Relative links in Markdown lead to a file or a folder of the repository, and `#anchors` to a heading there. */
export const linksResolve: Rule = (repo) =>
  [...repo.files]
    .filter(([path]) => path.endsWith('.md') && !isForeign(path))
    .flatMap(([path, text]) =>
      linksOf(text)
        .filter(({ target }) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
        .flatMap(({ target, line }) => {
          const why = brokenBecause(repo, path, target);
          return why === undefined ? [] : [`${path}:${line} the link ${target} leads nowhere: ${why}`];
        }),
    );

/** Blanks code, keeping its lines: what looks like a link there is none. */
function withoutCode(text: string): string {
  const blank = (code: string) => code.replace(/[^\n]/g, ' ');
  return text.replace(FENCE, blank).replace(INLINE_CODE, blank);
}

function linksOf(text: string): { target: string; line: number }[] {
  const prose = withoutCode(text);
  return [...prose.matchAll(LINK)].map((match) => ({
    target: match[1] ?? match[2] ?? '',
    line: prose.slice(0, match.index).split('\n').length,
  }));
}

function brokenBecause(repo: Repo, from: string, target: string): string | undefined {
  const [file = '', anchor = ''] = target.split('#');
  const to =
    file === '' ? from : join(file.startsWith('/') ? '.' : dirname(from), decodeURIComponent(file)).replace(/\/$/, '');
  const text = repo.files.get(to);
  if (text === undefined) {
    const isFolder = to === '.' || [...repo.files.keys()].some((path) => path.startsWith(`${to}/`));
    return isFolder && anchor === '' ? undefined : `no ${to}`;
  }
  return anchor === '' || !to.endsWith('.md') || anchorsOf(text).has(anchor)
    ? undefined
    : `no heading #${anchor} in ${to}`;
}

/** The anchors of a page, made from its headings as GitHub makes them; a repeated heading gets -1, -2 ... */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set([...text.matchAll(ANCHOR)].map((match) => match[1] ?? ''));
  const headings = text.replace(FENCE, (code) => code.replace(/[^\n]/g, ' ')).matchAll(HEADING);
  const seen = new Map<string, number>();
  for (const [, heading = ''] of headings) {
    const slug = slugOf(heading);
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

function slugOf(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');
}
