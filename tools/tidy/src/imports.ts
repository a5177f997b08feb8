import { dirname, join } from 'node:path/posix';
import { type Allowed, DIRECTIONS, ONLY_IN } from './directions.ts';
import { isTest, type Manifest, type Problem, packages, type Repo, sources } from './repo.ts';
import { tokenize, unquoted } from './tokens.ts';

/** What the rules of direction go by. */
export type Directions = Readonly<Record<string, Allowed>>;
type Edge = { readonly from: string; readonly to: string; readonly inTest: boolean; readonly where: string };

const SCOPE = '@latchkey/';

/** Every package stands in the closed lists, and every name there is a package. */
export function packagesListed(repo: Repo, directions: Directions = DIRECTIONS): Problem[] {
  const found = packages(repo);
  const unlisted = [...found.keys()].filter((folder) => !(folder in directions));
  const gone = Object.keys(directions).filter((folder) => !found.has(folder));
  return [
    ...unlisted.map((folder) => `${folder}: not in the closed lists of tools/tidy/src/directions.ts`),
    ...gone.map((folder) => `tools/tidy/src/directions.ts: ${folder} is no package`),
  ];
}

/** Packages declare and import only what their closed list allows. */
export function importDirections(repo: Repo, directions: Directions = DIRECTIONS): Problem[] {
  return [...declaredEdges(repo), ...importedEdges(repo)].flatMap(({ from, to, inTest, where }) => {
    const allowed = directions[from];
    const names = [...(allowed?.code ?? []), ...(inTest ? (allowed?.tests ?? []) : [])];
    return names.includes(to) || from.endsWith(`/${to}`) ? [] : [`${where} ${from} must not use ${to}`];
  });
}

/** Some packages are imported in one place only. */
export function restrictedImports(
  repo: Repo,
  onlyIn: Readonly<Record<string, readonly string[]>> = ONLY_IN,
): Problem[] {
  return imports(repo).flatMap(({ path, line, target }) => {
    const name = Object.keys(onlyIn).find((restricted) => isOrIsIn(target, restricted));
    if (name === undefined || packageOf(path).endsWith(`/${name.replace(SCOPE, '')}`)) return [];
    return onlyIn[name]?.some((place) => path.startsWith(place))
      ? []
      : [`${path}:${line} only ${onlyIn[name]?.join(' and ')} may import ${name}`];
  });
}

/** No relative import leaves its package. */
export function importsStayInside(repo: Repo): Problem[] {
  return imports(repo).flatMap(({ path, line, target }) => {
    const folder = packageOf(path);
    if (!target.startsWith('.') || folder === '') return [];
    const inside = join(dirname(path), target).startsWith(`${folder}/`);
    return inside ? [] : [`${path}:${line} the import ${target} leaves ${folder}`];
  });
}

function isOrIsIn(target: string, name: string): boolean {
  return target === name || target.startsWith(`${name}/`);
}

/** `libs/store` for any path in it; '' for files of the root. */
function packageOf(path: string): string {
  return /^(?:libs|services|tools)\/[^/]+/.exec(path)?.[0] ?? '';
}

function declaredEdges(repo: Repo): Edge[] {
  return [...packages(repo)].flatMap(([from, manifest]) => [
    ...edgesOf(from, manifest.dependencies, false),
    ...edgesOf(from, manifest.devDependencies, true),
  ]);
}

function edgesOf(from: string, dependencies: Manifest['dependencies'] = {}, inTest: boolean): Edge[] {
  return Object.keys(dependencies)
    .filter((name) => name.startsWith(SCOPE))
    .map((name) => ({ from, to: name.slice(SCOPE.length), inTest, where: `${from}/package.json:` }));
}

function importedEdges(repo: Repo): Edge[] {
  return imports(repo)
    .filter(({ target }) => target.startsWith(SCOPE))
    .map(({ path, line, target }) => ({
      from: packageOf(path),
      to: target.slice(SCOPE.length).split('/')[0] ?? '',
      inTest: isTest(path),
      where: `${path}:${line}`,
    }));
}

/** `from 'X'`, `import 'X'` and `import('X')`, in code and not in strings. */
function imports(repo: Repo): { path: string; line: number; target: string }[] {
  return sources(repo).flatMap(([path, text]) =>
    tokenize(text).flatMap((token, at, tokens) => {
      const target = unquoted(token);
      const before = tokens[at - 1]?.text;
      const isImport =
        before === 'from' || before === 'import' || (before === '(' && tokens[at - 2]?.text === 'import');
      return target !== undefined && isImport ? [{ path, line: token.line, target }] : [];
    }),
  );
}
