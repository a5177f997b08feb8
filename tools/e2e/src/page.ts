import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Block, blocksOf, patternOf } from './readme-blocks.ts';

const PROJECT_DIR = resolve(import.meta.dirname, '../../..');
const START_DEADLINE_MS = 60_000;
/** Some 20 s on an idle machine; the tests of other packages run beside it. */
const RUN_DEADLINE_MS = 300_000;

type Ready = Readonly<Record<'admin' | 'mqtt' | 'mqtts' | 'ingress' | 'https' | 'coaps', string>>;

const LISTENERS = ['--grpc', '--admin', '--mqtt', '--mqtts', '--ingress', '--https', '--coaps'];

/**
 * Tests the examples of a page that are marked `<!-- runs: NAME -->`, as they stand there, against all services: only the
 * default ports are exchanged.
 */
export function walkPage(page: string, name: string): void {
  const blocks = blocksOf(readFileSync(join(PROJECT_DIR, page), 'utf8'), name);
  let dataDir: string;
  let launcher: ChildProcess;
  let outputs: readonly string[];

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'latchkey-page-'));
    launcher = startAll(dataDir);
    outputs = runBlocks(blocks, dataDir, await readyLineOf(launcher));
  }, START_DEADLINE_MS + RUN_DEADLINE_MS);

  afterAll(async () => {
    const gone = new Promise((ended) => launcher.once('exit', ended));
    // False: it has ended already.
    if (launcher.kill('SIGTERM')) await gone;
    await rm(dataDir, { recursive: true });
  }, START_DEADLINE_MS);

  it('finds the examples', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(5);
    expect(blocks.filter(({ shows }) => shows.length === 0)).toEqual([]);
  });

  it.each(blocks.map(({ line, shows }, index) => ({ line, shows, index })))(
    `${page}:$line prints what the page shows`,
    ({ shows, index }) => {
      expect(outputs[index]).toMatch(patternOf(shows));
    },
  );

  it('runs every example to its end', () => {
    expect(outputs).toHaveLength(blocks.length + 1);
    expect(outputs.at(-1)).toBe('');
  });
}

function startAll(dataDir: string): ChildProcess {
  const ports = LISTENERS.flatMap((flag) => [flag, '127.0.0.1:0']);
  return spawn(join(PROJECT_DIR, 'dev'), ['start', '--json', '--data-dir', dataDir, ...ports], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

async function readyLineOf(launcher: ChildProcess): Promise<Ready> {
  const line = await new Promise<string>((ready, gone) => {
    launcher.stdout?.once('data', (text: Buffer) => ready(text.toString()));
    launcher.once('exit', (code) => gone(new Error(`./dev start ended with ${code}`)));
  });
  return JSON.parse(line);
}

/** Runs all blocks in one shell, as a reader does, which ends at the first failure that a block does not expect. */
function runBlocks(blocks: readonly Block[], dataDir: string, ready: Ready): readonly string[] {
  const mark = '--- the next block ---';
  const port = (address: string) => `-p ${address.split(':')[1]}`;
  const script = blocks
    .map(({ commands }) => `${commands}echo '${mark}'\n`)
    .join('')
    .replaceAll('-p 1883', port(ready.mqtt))
    .replaceAll('-p 1884', port(ready.ingress))
    .replaceAll('-p 8883', port(ready.mqtts))
    .replaceAll('localhost:8943', `localhost:${ready.https.split(':').at(-1)}`)
    .replaceAll('127.0.0.1:5684', `127.0.0.1:${ready.coaps.split(':').at(-1)}`)
    .replaceAll('http://127.0.0.1:7480', ready.admin);
  const { stdout } = spawnSync('sh', ['-c', `set -eu; exec 2>&1\n${script}`], {
    cwd: PROJECT_DIR,
    encoding: 'utf8',
    env: { ...process.env, LATCHKEY_DATA_DIR: dataDir, npm_config_loglevel: 'error' },
    timeout: RUN_DEADLINE_MS,
  });
  return stdout.split(`${mark}\n`);
}
