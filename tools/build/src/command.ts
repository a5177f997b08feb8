import { spawn } from 'node:child_process';

/** Runs a program: its exit code (1 when a signal ended it), and its output unless that went straight through. */
export type Run = (program: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>;

/** `show` lets the output through instead of keeping it; `env` is added to the environment. */
export type RunOptions = { readonly show?: boolean; readonly env?: Readonly<Record<string, string>> };

/** What became of a program. */
export type RunResult = { readonly code: number; readonly output: string };

/** No step takes longer: thirty minutes are ten times what the whole test run takes on two slow cores. */
const STEP_TIMEOUT_MS = 1_800_000;

/** Runs a program without a standard input. Rejects when it cannot be started. */
export const run: Run = (program, args, { show = false, env = {} } = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: show ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      timeout: STEP_TIMEOUT_MS,
    });
    const chunks: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString() }));
  });
