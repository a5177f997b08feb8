import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The user name of whoever logs in with it: applications and other gateways share it. */
const USERNAME = 'application';

/** 256 bits: nobody guesses that. */
const PASSWORD_BYTES = 32;

/** `DIR/ingress.credential`, one line `USER:PASSWORD` of mode 0600; made when it is missing, and then kept. Gives its path. */
export async function ingressCredential(dataDir: string): Promise<string> {
  const path = join(dataDir, 'ingress.credential');
  const line = `${USERNAME}:${randomBytes(PASSWORD_BYTES).toString('base64url')}\n`;
  try {
    await writeFile(path, line, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return path;
}
