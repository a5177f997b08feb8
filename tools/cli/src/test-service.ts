import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const AUTH = join(import.meta.dirname, '../../../services/auth/src/main.ts');

/** A start of Node, its imports and a new store, on a busy machine. */
export const START_TIMEOUT_MS = 60_000;

/** The real auth service, on free ports, with a store of its own. */
export type TestService = {
  /** Its data directory, with the endpoints as a launcher leaves them. */
  readonly dir: string;
  /** URL of the operators' listener. */
  readonly admin: string;
  readonly stop: () => Promise<void>;
};

/** Starts the service. Rejects when it ends before it is ready. */
export async function startTestService(): Promise<TestService> {
  const dir = await mkdtemp(join(tmpdir(), 'latchkey-cli-'));
  const args = ['--data-dir', dir, '--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-level', 'error'];
  const auth = spawn(process.execPath, [AUTH, ...args], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  const line = await new Promise<string>((resolve, reject) => {
    auth.stdout?.once('data', (data: Buffer) => resolve(data.toString()));
    auth.once('exit', (code) => reject(new Error(`the auth service ended with exit code ${code}`)));
  });
  const { admin, token }: { admin: string; token: string } = JSON.parse(line);
  await writeFile(join(dir, 'endpoints.json'), JSON.stringify({ admin, token }));
  return {
    dir,
    admin,
    stop: async () => {
      const gone = new Promise((resolve) => auth.once('exit', resolve));
      // False: it has ended already.
      if (auth.kill('SIGTERM')) await gone;
      await rm(dir, { recursive: true });
    },
  };
}
