import { readdirSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';

/** The text files of a repository by their path from its root, with slashes. */
export type Repo = { readonly files: ReadonlyMap<string, string> };

/** What is wrong, where, and what would be right: one line that begins with a path. */
export type Problem = string;

/** One thing that the repository checks about itself. */
export type Rule = (repo: Repo) => readonly Problem[];

/** Everything under a folder that git would track, by the patterns of the `.gitignore` at its root. */
export function readRepo(root: string): Repo {
  const ignored = ignoredBy(readFileSync(join(root, '.gitignore'), 'utf8'));
  const files = new Map<string, string>();
  const visit = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.name === '.git' || ignored(path)) continue;
      if (entry.isDirectory()) visit(path);
      if (!entry.isFile()) continue;
      const text = readFileSync(join(root, path), 'utf8');
      if (!text.includes('\0')) files.set(path, text);
    }
  };
  visit('');
  return { files };
}

/** Understands names (`dist/`), paths (`.nx/cache`) and wildcards (`*.log`); no negation. */
function ignoredBy(gitignore: string): (path: string) => boolean {
  const patterns = gitignore
    .split('\n')
    .map((line) => line.trim().replace(/\/$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((pattern) => (pattern.includes('/') ? [pattern.replace(/^\//, '')] : [pattern, `**/${pattern}`]));
  return (path) => patterns.some((pattern) => matchesGlob(path, pattern));
}

/** A repository that exists only in a test. */
export function repoOf(files: Readonly<Record<string, string>>): Repo {
  return { files: new Map(Object.entries(files)) };
}

/** Written by a tool or by others: no rule of style applies. */
export function isForeign(path: string): boolean {
  return path.startsWith('third_party/') || path.includes('/src/gen/') || path === 'package-lock.json';
}

/** The TypeScript of this house: path and text of each file that `wanted` accepts. */
export function sources(repo: Repo, wanted: (path: string) => boolean = () => true): [string, string][] {
  return [...repo.files].filter(([path]) => /\.[mc]?tsx?$/.test(path) && !isForeign(path) && wanted(path));
}

const TEST_FILE = /(?:\.test\.tsx?|\/(?:contract|fixture|testing|test-[^/]+)\.ts)$/;
const TEST_FOLDER = /\/(?:contract|testing)\//;

/** Runs only in tests: a test file, what it is made with, a contract suite, or a lib's `testing` entry. */
export function isTest(path: string): boolean {
  return TEST_FILE.test(path) || TEST_FOLDER.test(path);
}

/** Folders that hold a package: `libs/store`, with the parsed package.json. */
export function packages(repo: Repo): Map<string, Manifest> {
  const found = new Map<string, Manifest>();
  for (const [path, text] of repo.files) {
    const folder = /^((?:libs|services|tools)\/[^/]+)\/package\.json$/.exec(path)?.[1];
    if (folder !== undefined) found.set(folder, JSON.parse(text) as Manifest);
  }
  return found;
}

/** The part of package.json that matters here. */
export type Manifest = {
  readonly name?: string;
  readonly license?: string;
  readonly type?: string;
  readonly private?: boolean;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
};
