import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/** Mistakes that the protocol must not have: each a patch that takes one of its safeguards away. */
export const MUTANTS = ['no-lease', 'no-wait', 'no-recheck', 'no-fill-guard', 'reply-anchor', 'deaf-gateway'] as const;

/** A mistake. */
export type Mutant = (typeof MUTANTS)[number];

const FOLDERS = ['libs', 'services'];
const SCOPE = '@latchkey';

/**
 * A copy of the sources with one patch applied, in a directory of its own that the caller removes. Packages of others
 * are shared with the original; those of the house lead to the copy. Throws when the patch does not fit.
 */
export function mutatedTree(tree: string, patch: Mutant | 'baseline'): string {
  const copy = mkdtempSync(join(tmpdir(), `latchkey-${patch}-`));
  try {
    copySources(tree, copy);
    linkPackages(tree, copy);
    const file = join(import.meta.dirname, '../mutants', `${patch}.patch`);
    // Outside of any repository, or git would look for the files in that one.
    const env = { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() };
    execFileSync('git', ['apply', file], { cwd: copy, env, stdio: ['ignore', 'pipe', 'pipe'] });
    return copy;
  } catch (error) {
    rmSync(copy, { recursive: true, force: true });
    throw error;
  }
}

function copySources(tree: string, copy: string): void {
  cpSync(join(tree, 'package.json'), join(copy, 'package.json'));
  for (const folder of FOLDERS) {
    const filter = (path: string) => basename(path) !== 'node_modules';
    cpSync(join(tree, folder), join(copy, folder), { recursive: true, filter });
  }
}

function linkPackages(tree: string, copy: string): void {
  const original = join(tree, 'node_modules');
  const own = join(copy, 'node_modules');
  mkdirSync(join(own, SCOPE), { recursive: true });
  for (const name of readdirSync(original)) {
    if (name !== SCOPE) symlinkSync(join(original, name), join(own, name));
  }
  for (const folder of FOLDERS) {
    for (const name of readdirSync(join(copy, folder))) symlinkSync(join(copy, folder, name), join(own, SCOPE, name));
  }
}
