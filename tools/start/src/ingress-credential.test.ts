import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ingressCredential } from './ingress-credential.ts';

test('it is made once, for the owner alone, and each data directory has its own', async () => {
  const [one, other] = await Promise.all(['a', 'b'].map((name) => mkdtemp(join(tmpdir(), `latchkey-${name}-`))));
  const path = await ingressCredential(String(one));
  const made = await readFile(path, 'utf8');
  expect(made).toMatch(/^application:[A-Za-z0-9_-]{43}\n$/);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(await ingressCredential(String(one)), 'utf8')).toBe(made);
  expect(await readFile(await ingressCredential(String(other)), 'utf8')).not.toBe(made);
  for (const dir of [one, other]) await rm(String(dir), { recursive: true });
});
