import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '@latchkey/kernel/testing';

/** How a server for tests is started. */
export type RedisServerOptions = {
  /** When the append-only file is synced; `always` unless given. */
  readonly appendfsync?: 'always' | 'everysec';
  /** More arguments, e.g. `['--requirepass', 'x']`. */
  readonly args?: readonly string[];
};

/** A real redis-server on a free loopback port with its data in a directory of its own. */
export type RedisServer = {
  readonly port: number;
  readonly url: string;
  /** Where the append-only file lies. */
  readonly directory: string;
  /** Sends a signal, e.g. SIGSTOP and SIGCONT. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Ends it as a power cut would: SIGKILL. */
  readonly kill: () => Promise<void>;
  /** Starts it again on the same port with the same data. */
  readonly restart: () => Promise<void>;
  /** Ends it and removes its data. */
  readonly stop: () => Promise<void>;
};

const PING_PAUSE_MS = 20;
// 10 s: loading a large append-only file on a busy machine.
const PING_ATTEMPTS = 500;

/** Whether the server answers PING; a server that asks for a password is up, too. */
async function pings(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write('PING\r\n');
    const [reply] = await once(socket, 'data');
    return /^(\+PONG|-NOAUTH)/.test(String(reply));
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function untilUp(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < PING_ATTEMPTS; attempt++) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with code ${child.exitCode}`);
    if (await pings(port)) return;
    await pause(PING_PAUSE_MS);
  }
  throw new Error(`redis-server on port ${port} does not answer PING`);
}

function argumentsOf(port: number, directory: string, options: RedisServerOptions): readonly string[] {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''];
  const appendOnly = ['--appendonly', 'yes', '--appendfsync', options.appendfsync ?? 'always'];
  return [...settings, ...appendOnly, ...(options.args ?? [])];
}

async function launch(port: number, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  const started = once(child, 'spawn');
  try {
    await started;
  } catch {
    throw new Error('redis-server is not installed: install Redis 7.0 or newer, these tests run against a real one');
  }
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  try {
    await untilUp(child, port);
  } catch (error) {
    await killed(child);
    throw error;
  }
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** Starts a server and waits until it answers. Throws a plain Error when redis-server is not installed. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-redis-'));
  const port = await freePort();
  return running(port, directory, argumentsOf(port, directory, options));
}

/** A sentinel of a master named `latchkey` that two of the sentinels must miss for `downAfterMs`. */
export async function startSentinel(masterPort: number, downAfterMs: number): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-sentinel-'));
  const port = await freePort();
  const file = join(directory, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor latchkey 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds latchkey ${downAfterMs}`,
    // How soon a failover that did not work is tried again.
    'sentinel failover-timeout latchkey 5000',
    'sentinel parallel-syncs latchkey 2',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  return running(port, directory, [file, '--sentinel']);
}

async function running(port: number, directory: string, args: readonly string[]): Promise<RedisServer> {
  const remove = () => rm(directory, { recursive: true, force: true });
  let child = await launch(port, args).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    directory,
    signal: (signal) => {
      child.kill(signal);
    },
    kill: () => killed(child),
    restart: async () => {
      await killed(child);
      child = await launch(port, args);
    },
    stop: async () => {
      await killed(child);
      await remove();
    },
  };
}
