import type { Problem, Repo, Rule } from './repo.ts';
import { type Token, tokenize, unquoted } from './tokens.ts';

const DECISION_FILE = 'libs/credential/src/decision.ts';
const TYPES_FILE = 'proto/latchkey/v1/types.proto';
const REASONS_PAGE = 'docs/reasons.md';

/** Every deny reason has its row in docs/reasons.md. */
export const reasonsDocumented: Rule = (repo) => {
  const page = repo.files.get(REASONS_PAGE);
  if (page === undefined) return [`${REASONS_PAGE}: there is no such page`];
  const rows = page.split('\n').filter((line) => line.trimStart().startsWith('|'));
  return denyReasons(repo)
    .filter((reason) => !rows.some((row) => row.includes(`\`${reason}\``)))
    .map((reason) => `${REASONS_PAGE}: no row of a table holds \`${reason}\``);
};

/** Every deny reason stands in the answer table of every gateway. */
export const reasonsAnswered: Rule = (repo) =>
  gatewayFolders(repo).flatMap((folder): Problem[] => {
    const file = `${folder}/src/answer.ts`;
    const text = repo.files.get(file);
    if (text === undefined) return [`${file}: there is no answer table`];
    const named = new Set(tokenize(text).map(nameIn));
    return denyReasons(repo)
      .filter((reason) => !named.has(reason))
      .map((reason) => `${file}: does not answer ${reason}`);
  });

/** The proto and the pure rule know the same reasons. */
export const reasonsAgree: Rule = (repo) => {
  const inProto = [...(repo.files.get(TYPES_FILE) ?? '').matchAll(/^\s*DENY_REASON_(\w+) = \d+/gm)]
    .map((match) => match[1] ?? '')
    .filter((reason) => reason !== 'UNSPECIFIED');
  const inCode = denyReasons(repo);
  if (inCode.length === 0) return [`${DECISION_FILE}: no DENY_REASONS found`];
  return [
    ...inCode.filter((reason) => !inProto.includes(reason)).map((reason) => `${TYPES_FILE}: no DENY_REASON_${reason}`),
    ...inProto.filter((reason) => !inCode.includes(reason)).map((reason) => `${DECISION_FILE}: no ${reason}`),
  ];
};

/** What each gateway consists of, so that who knows one finds his way in the others. */
export const GATEWAY_FILES = ['main', 'config', 'wire', 'listener', 'proof', 'admit', 'answer', 'kick'];

/** Sister gateways have the same file names. */
export const gatewaysAlike: Rule = (repo) =>
  gatewayFolders(repo).flatMap((folder) =>
    GATEWAY_FILES.map((name) => `${folder}/src/${name}.ts`)
      .filter((file) => !repo.files.has(file))
      .map((file) => `${file}: missing; every gateway has it`),
  );

function gatewayFolders(repo: Repo): string[] {
  const folders = [...repo.files.keys()].flatMap((path) => /^services\/[^/]+-gateway(?=\/)/.exec(path)?.[0] ?? []);
  return [...new Set(folders)];
}

/** The strings of DENY_REASONS. */
function denyReasons(repo: Repo): string[] {
  const tokens = tokenize(repo.files.get(DECISION_FILE) ?? '');
  const start = tokens.findIndex(({ text }, at) => text === 'DENY_REASONS' && tokens[at - 1]?.text === 'const');
  if (start < 0) return [];
  const end = tokens.findIndex(({ text }, at) => at > start && text === ']');
  return tokens.slice(start, end).flatMap((token) => unquoted(token) ?? []);
}

/** `'FROZEN'`, `DenyReason.FROZEN`, `FROZEN:` and `DENY_REASON_FROZEN` all name FROZEN. */
function nameIn(token: Token): string {
  return (unquoted(token) ?? token.text).replace(/^DENY_REASON_/, '');
}
