import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';

const SERVICE = `
  import { writeFileSync } from 'node:fs';
  import { createServer } from 'node:http';
  const name = process.argv[1].match(/(\\w+)\\.mjs$/)[1];
  const log = (msg) => console.error(JSON.stringify({ level: 'info', time: new Date().toISOString(), msg }));
  const stop = (why) => {
    writeFileSync(new URL(name + '.stopped', import.meta.url), why);
    log('stopped by ' + why);
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);
  process.on('disconnect', () => stop('disconnect'));
  const ready = { event: 'ready', grpc: 'g', admin: 'a', token: 't', mqtt: '127.0.0.1:1', mqtts: 's', ingress: '127.0.0.1:2', https: 'h', coaps: 'c' };
  const probes = createServer((_, answer) => answer.end()).listen(0, '127.0.0.1', () => {
    console.log(JSON.stringify({ ...ready, metrics: '127.0.0.1:' + probes.address().port }));
  });
`;

/** The launcher's own main, but for the services that it starts. */
const launcher = (dir: string) => `
  import { launch } from '${import.meta.dirname}/launch.ts';
  import { createLog } from '${import.meta.dirname}/log.ts';
  import { listenToSignals } from '${import.meta.dirname}/signals.ts';
  const now = () => Date.now();
  process.exitCode = await launch(
    { dataDir: '${dir}/data', json: true, authArgs: [], mqttArgs: [], httpsArgs: [], coapArgs: [], commonArgs: [] },
    {
      scripts: { auth: '${dir}/auth.mjs', mqtt: '${dir}/mqtt.mjs', https: '${dir}/https.mjs', coap: '${dir}/coap.mjs' },
      log: createLog({ json: false, write: (text) => process.stderr.write(text), now }),
      print: (text) => process.stdout.write(text),
      now,
      signals: listenToSignals(process),
    },
  );
`;

let dir: string;
let child: ChildProcess;
let log: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latchkey-launcher-'));
  await writeFile(join(dir, 'auth.mjs'), SERVICE);
  await writeFile(join(dir, 'mqtt.mjs'), SERVICE);
  await writeFile(join(dir, 'https.mjs'), SERVICE);
  await writeFile(join(dir, 'coap.mjs'), SERVICE);
  await writeFile(join(dir, 'main.mjs'), launcher(dir));
  log = '';
  // As `npm start` does it: a shell that becomes the launcher, in a process group of its own.
  child = spawn('sh', ['-c', `exec "${process.execPath}" "${dir}/main.mjs"`], { detached: true });
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
});
afterEach(async () => {
  child.kill('SIGKILL');
  await rm(dir, { recursive: true });
});

const ended = () => new Promise<number | null>((resolve) => child.on('exit', resolve));

async function stoppedBy(name: string): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const why = await readFile(join(dir, `${name}.stopped`), 'utf8').catch(() => '');
    if (why !== '') return why;
    await sleep(40);
  }
  return 'nothing';
}

test('a Ctrl-C that also npm passes on is one clean stop', async () => {
  const end = ended();
  const group = -(child.pid ?? 0);
  process.kill(group, 'SIGINT');
  process.kill(group, 'SIGINT');
  expect(await end).toBe(0);
  expect([...log.matchAll(/(\w+) +info +stopped by (\w+)/g)].map(([, name, why]) => `${name} ${why}`)).toEqual([
    ...['coap SIGTERM', 'https SIGTERM', 'mqtt SIGTERM', 'auth SIGTERM'],
  ]);
  expect(log).not.toContain('error');
});

test('SIGTERM to the one process that npm knows is one clean stop', async () => {
  const end = ended();
  child.kill('SIGTERM');
  expect(await end).toBe(0);
  expect([await stoppedBy('mqtt'), await stoppedBy('auth')]).toEqual(['SIGTERM', 'SIGTERM']);
});

test('services do not outlive a launcher that was killed', async () => {
  child.kill('SIGKILL');
  expect([await stoppedBy('mqtt'), await stoppedBy('auth')]).toEqual(['disconnect', 'disconnect']);
});
