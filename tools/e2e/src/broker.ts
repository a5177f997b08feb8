import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '@latchkey/kernel/testing';

const START_DEADLINE_MS = 30_000;
const PROBE_PAUSE_MS = 50;

/** A Mosquitto that lets in whoever reaches it, on a loopback port. */
export type Broker = { readonly port: number; readonly stop: () => Promise<void> };

/** Starts one. Rejects with what it said when it does not come up. */
export async function startBroker(): Promise<Broker> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-e2e-broker-'));
  const [file, port] = [join(folder, 'mosquitto.conf'), await freePort()];
  await writeFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nuser ${userInfo().username}\n`);
  // Debian keeps it in a folder that not every user searches.
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
  const child = spawn('mosquitto', ['-c', file], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4_000);
  });
  await once(child, 'spawn');
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const stop = async () => {
    process.off('exit', kill);
    const ended = child.exitCode === null ? once(child, 'exit') : undefined;
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  for (let waitedMs = 0; !(await listens(port)); waitedMs += PROBE_PAUSE_MS) {
    if (child.exitCode === null && waitedMs < START_DEADLINE_MS) await pause(PROBE_PAUSE_MS);
    else {
      await stop();
      throw new Error(`mosquitto does not listen:\n${said}`);
    }
  }
  return { port, stop };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.once('connect', () => socket.destroy());
    socket.once('error', () => resolve(false));
  });
}
