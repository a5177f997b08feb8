import type { Problem, Rule } from './repo.ts';

/**
 * Every hunk of a patch finds its lines: who changes code that a mutant is made from changes the mutant too. Line
 * numbers are not looked at, as `git apply` moves hunks by itself.
 */
export const patchesFit: Rule = (repo) =>
  [...repo.files]
    .filter(([path]) => path.endsWith('.patch'))
    .flatMap(([path, text]) =>
      filesOf(text).flatMap(({ target, hunks }): readonly Problem[] => {
        const code = repo.files.get(target);
        if (code === undefined) return [`${path} changes ${target}, which is not there`];
        return hunks
          .filter((lines) => !`\n${code}`.includes(`\n${lines.join('\n')}\n`))
          .map((lines) => `${path} does not fit ${target} any more, where it looks for: ${lines.join(' / ').trim()}`);
      }),
    );

/** The files that a patch changes, with the lines that each hunk looks for. */
function filesOf(
  patch: string,
): readonly { readonly target: string; readonly hunks: readonly (readonly string[])[] }[] {
  return patch
    .split(/^diff --git .*\n/m)
    .slice(1)
    .map((part) => {
      const target = /^--- a\/(.+)$/m.exec(part)?.[1] ?? '';
      const hunks = part.split(/^@@ .*\n/m).slice(1);
      return { target, hunks: hunks.map(soughtBy) };
    });
}

/** Context and what is taken away; an empty line of context may have lost its blank. */
function soughtBy(hunk: string): readonly string[] {
  const lines = hunk.replace(/\n$/, '').split('\n');
  return lines.filter((line) => !line.startsWith('+')).map((line) => line.slice(1));
}
