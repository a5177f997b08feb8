import { type Manifest, type Problem, packages, type Rule } from './repo.ts';

const LICENSE = 'Apache-2.0';
const SCRIPTS: Readonly<Record<string, string>> = {
  lint: 'biome check --error-on-warnings .',
  typecheck: 'tsc -p .',
  test: 'vitest run --root ../.. --project $npm_package_name',
};

/** Every package has the same scripts, the house's licence and its own tsconfig.json, is private and ESM. */
export const manifestsAlike: Rule = (repo) => {
  const inFolders = [...packages(repo)].flatMap(([folder, manifest]) => [
    ...wrongIn(manifest, folder),
    ...(repo.files.has(`${folder}/tsconfig.json`) ? [] : ['no tsconfig.json']).map((text) => `${folder}: ${text}`),
  ]);
  const root = JSON.parse(repo.files.get('package.json') ?? '{}') as Manifest;
  return [...inFolders, ...(root.license === LICENSE ? [] : [`package.json: the licence is not ${LICENSE}`])];
};

function wrongIn(manifest: Manifest, folder: string): Problem[] {
  const name = `@latchkey/${folder.split('/')[1]}`;
  const wrong = [
    manifest.name === name ? [] : [`its name is not ${name}`],
    manifest.license === LICENSE ? [] : [`the licence is not ${LICENSE}`],
    manifest.private === true ? [] : ['not private'],
    manifest.type === 'module' ? [] : ['its type is not module'],
    Object.entries(SCRIPTS)
      .filter(([script, command]) => manifest.scripts?.[script] !== command)
      .map(([script, command]) => `the script ${script} is not "${command}"`),
  ];
  return wrong.flat().map((text) => `${folder}/package.json: ${text}`);
}
