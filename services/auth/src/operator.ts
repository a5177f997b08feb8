import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';

/** Where the operator's token lies in the data directory, mode 0600; never in a log. */
export const TOKEN_FILE = 'operator.token';

/** Under which name the store keeps the token's hash. */
const KEPT_NAME = 'operator-token-sha256';

/** 256 bits: a hash without salt or stretching is enough. */
const TOKEN_BYTES = 32;

/** Tells operators from others. Undefined: the token is nobody's. */
export type OperatorCheck = (token: string) => string | undefined;

/** How the token stands: made now, made before, or made by another replica into its own data directory. */
export type TokenOrigin = 'MADE' | 'FOUND' | 'ELSEWHERE';

/** Makes the operator's token for a store that has none, or anew; the store keeps its hash alone. */
export async function prepareToken(options: {
  readonly store: Store;
  readonly dataDir: string;
  readonly random: Random;
  /** Replace the token, because it was lost or seen. */
  readonly renew: boolean;
}): Promise<{ readonly check: OperatorCheck; readonly file: string; readonly origin: TokenOrigin }> {
  const { store, dataDir } = options;
  const file = join(dataDir, TOKEN_FILE);
  if (options.renew) await store.forget(KEPT_NAME);
  const before = await store.kept(KEPT_NAME);
  const kept = before ?? (await makeToken(store, file, options.random));
  const mine = hashOfFile(file) === kept;
  const origin = mine ? (before === undefined ? 'MADE' : 'FOUND') : 'ELSEWHERE';
  return { check: tokenCheck(kept), file, origin };
}

/** The file comes first: a crash in between leaves a token that is not kept yet, and the next start makes another. */
async function makeToken(store: Store, file: string, random: Random): Promise<string> {
  const token = Buffer.from(random(TOKEN_BYTES)).toString('base64url');
  rmSync(file, { force: true });
  writeFileSync(file, `${token}\n`, { mode: 0o600, flag: 'wx' });
  const kept = await store.keep(KEPT_NAME, hashOf(token));
  if (kept !== hashOf(token)) rmSync(file); // another replica was faster
  return kept;
}

function tokenCheck(keptHash: string): OperatorCheck {
  const expected = Buffer.from(keptHash, 'hex');
  return (token) => (timingSafeEqual(createHash('sha256').update(token).digest(), expected) ? 'operator' : undefined);
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function hashOfFile(file: string): string | undefined {
  try {
    return hashOf(readFileSync(file, 'utf8').trim());
  } catch {
    return undefined;
  }
}
