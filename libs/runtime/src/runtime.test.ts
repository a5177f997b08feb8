import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLog, formatAddress, parseAddress, requireLoopback, SettingsError } from './index.ts';

test('an address that is written is read again', () => {
  const hosts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
  fc.assert(
    fc.property(hosts, fc.nat(65_535), (host, port) => {
      expect(parseAddress(formatAddress({ host, port }))).toEqual({ host, port });
    }),
  );
  expect(parseAddress('80')).toEqual({ host: '127.0.0.1', port: 80 });
});

test.each(['', ':80', 'host', 'host:', '1:2:3', '::1:80', '[::1]', '1.2.3.4:65536', 'a b:80', 'host:-1', '80 '])(
  'no address: "%s"',
  (text) => expect(() => parseAddress(text)).toThrow(SettingsError),
);

test.each([
  ['127.0.0.1', false],
  ['127.9.9.9', false],
  ['::1', false],
  ['localhost', false],
  ['0.0.0.0', true],
  ['::', true],
  ['10.0.0.1', true],
  ['127.example.com', true],
  ['127.1', true],
  ['::ffff:127.0.0.1', true],
])('a listener on %s is refused: %s', (host, refused) => {
  const check = (insecure: boolean) => () => requireLoopback('--grpc', { host, port: 1 }, insecure);
  expect(check(true)).not.toThrow();
  const outcome = refused ? expect(check(false)) : expect(check(false)).not;
  outcome.toThrow(/--grpc .* use a loopback address, or say --insecure-listen/);
});

test('fields named like a secret are cut out of the log', () => {
  let text = '';
  const log = createLog({ service: 'x', level: 'debug', to: { write: (line) => (text += line) } });
  const fields = {
    secret: 'canary',
    password: 'canary',
    token: 'canary',
    key: 'canary',
    authorization: 'canary',
    proof: 'canary',
  };
  log.info({ ...fields, inner: { ...fields, more: fields } }, 'message');
  log.debug({ deviceId: 'seen' }, 'message');
  expect(text).not.toContain('canary');
  expect(text).toContain('"deviceId":"seen"');
});

/** Runs a service in a process of its own; `body` is the start function's. */
async function run(body: string, act: (child: ReturnType<typeof spawn>) => void = () => undefined) {
  const index = JSON.stringify(new URL('./index.ts', import.meta.url).href);
  const script = `import { createLog, runService, SettingsError } from ${index};
    await runService(createLog({ service: 'x', level: 'info' }), async () => { ${body} });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let out = '';
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk;
    if (out.endsWith('\n')) act(child);
  });
  const [code] = await once(child, 'exit');
  return { code, out, log };
}
const RUNNING = `const timer = setInterval(() => {}, 1000); return { ready: { port: 7 }, stop: async () => clearInterval(timer) };`;

test('a service tells that it is ready and stops with code 0 on either signal or when its starter goes', async () => {
  const acts = [
    (child: ReturnType<typeof spawn>) => child.kill('SIGTERM'),
    (child: ReturnType<typeof spawn>) => child.kill('SIGINT'),
    (child: ReturnType<typeof spawn>) => child.disconnect(),
  ];
  for (const act of acts) {
    expect(await run(RUNNING, act)).toMatchObject({ code: 0, out: '{"event":"ready","port":7}\n' });
  }
});

test('a service whose starter goes before it is ready ends at once', async () => {
  const starts = `console.log('starts'); setInterval(() => {}, 1_000); return new Promise(() => {});`;
  const ends = await run(starts, (child) => child.disconnect());
  expect(ends).toMatchObject({
    code: 1,
    out: 'starts\n',
    log: expect.stringContaining('who started this service is gone'),
  });
});

test('bad settings are code 2 without a stack, any other failure is code 1', async () => {
  const settings = await run(`throw new SettingsError('set it right');`);
  expect([settings.code, settings.out]).toEqual([2, '']);
  expect(settings.log).toMatch(/"msg":"set it right"/);
  expect(settings.log).not.toContain('stack');
  expect((await run(`throw new Error('broken');`)).code).toBe(1);
  const later = `setTimeout(() => { throw new Error('later'); }, 10); ${RUNNING}`;
  expect(await run(later)).toMatchObject({ code: 1, log: expect.stringContaining('later') });
});

test('a stop that hangs, with nothing left to wait for, is a failure and no success', async () => {
  const hangs = await run(`return { ready: {}, stop: () => new Promise(() => {}) };`, (child) => child.kill('SIGTERM'));
  expect(hangs).toMatchObject({ code: 1, log: expect.stringContaining('not stopped within 10000 ms') });
});
