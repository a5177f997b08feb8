import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { launch } from './launch.ts';
import { createLog } from './log.ts';
import type { Upstream } from './settings.ts';

/** A service without a service: it does what every one of them does about its life, and tells its arguments. */
const LIFE = `
  import { createServer } from 'node:http';
  const log = (level, msg) => console.error(JSON.stringify({ level, time: new Date().toISOString(), msg }));
  const stop = (why) => { log('info', 'stopped by ' + why); process.exit(0); };
  process.on('SIGTERM', stop);
  process.on('disconnect', () => stop('disconnect'));
  const args = process.argv.slice(2);
  const ready = (fields) => console.log(JSON.stringify({ event: 'ready', ...fields }));
  log('info', args.join(' '));
`;
const AUTH = `${LIFE} ready({ grpc: '127.0.0.1:7001', admin: 'http://127.0.0.1:7002', token: '/t/operator.token' });`;
/** It lets devices in from the third question on. */
const MQTT = `${LIFE}
  let asked = 0;
  const probes = createServer((_, answer) => {
    asked += 1;
    if (asked === 3) log('info', 'devices get in');
    answer.writeHead(asked < 3 ? 503 : 200).end();
  });
  probes.listen(0, '127.0.0.1', () => {
    const listeners = { mqtt: '127.0.0.1:7003', mqtts: '127.0.0.1:7004', ingress: '127.0.0.1:7005' };
    ready({ ...listeners, metrics: '127.0.0.1:' + probes.address().port });
  });
`;
const HTTPS = `${LIFE}
  const probes = createServer((_, answer) => answer.end());
  probes.listen(0, '127.0.0.1', () => {
    ready({ https: 'https://127.0.0.1:7006', metrics: '127.0.0.1:' + probes.address().port });
  });
`;

const COAP = HTTPS.replace("https: 'https://127.0.0.1:7006'", "coaps: 'coaps://127.0.0.1:7007'");

let dir: string;
let log: string;
let printed: string;
let stop: AbortController;
let kill: AbortController;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latchkey-start-'));
  [log, printed] = ['', ''];
  [stop, kill] = [new AbortController(), new AbortController()];
});
afterEach(() => rm(dir, { recursive: true }));

async function run(options: {
  auth?: string;
  mqtt?: string;
  https?: string;
  json?: boolean;
  upstream?: Upstream;
  onPrint?: () => void;
}): Promise<number> {
  const scripts = {
    auth: join(dir, 'auth.mjs'),
    mqtt: join(dir, 'mqtt.mjs'),
    https: join(dir, 'https.mjs'),
    coap: join(dir, 'coap.mjs'),
  };
  await writeFile(scripts.auth, options.auth ?? AUTH);
  await writeFile(scripts.mqtt, options.mqtt ?? MQTT);
  await writeFile(scripts.https, options.https ?? HTTPS);
  await writeFile(scripts.coap, COAP);
  const now = () => Date.now();
  return launch(
    {
      ...{ dataDir: join(dir, 'data'), json: options.json ?? false },
      ...{
        authArgs: ['--grpc', 'G'],
        mqttArgs: ['--mqtt', 'M'],
        httpsArgs: ['--https', 'H'],
        coapArgs: ['--coaps', 'C'],
        commonArgs: ['--log-level', 'debug'],
        upstream: options.upstream,
      },
    },
    {
      ...{ scripts, now, signals: { stop: stop.signal, kill: kill.signal } },
      log: createLog({ json: false, write: (text) => (log += text), now }),
      print: (text) => {
        printed += text;
        (options.onPrint ?? (() => stop.abort()))();
      },
    },
  );
}

test('all services get their arguments, each the real addresses of those before it', async () => {
  expect(await run({})).toBe(0);
  const data = join(dir, 'data');
  expect(log).toContain(` auth  info  --data-dir ${data} --grpc G --log-level debug\n`);
  const tls = `--tls-cert ${data}/tls/server.pem --tls-key ${data}/tls/server.key`;
  const all = `--auth 127.0.0.1:7001 ${tls} --log-level debug --metrics 127.0.0.1:0`;
  const credential = `${data}/ingress.credential`;
  expect(log).toContain(` mqtt  info  --mqtt M --ingress-credential ${credential} ${all}\n`);
  const upstream = `--upstream mqtt://127.0.0.1:7005 --upstream-credential ${credential}`;
  expect(log).toContain(` https info  --https H ${upstream} ${all}\n`);
  expect(log).toContain(` coap  info  --coaps C ${upstream} ${all}\n`);
});

test('with --json one line tells what listens, and the path of the token, not the token', async () => {
  expect(await run({ json: true })).toBe(0);
  expect(printed.endsWith('}\n')).toBe(true);
  expect(JSON.parse(printed)).toEqual({
    ...{ event: 'ready', grpc: '127.0.0.1:7001', admin: 'http://127.0.0.1:7002', token: '/t/operator.token' },
    ...{ mqtt: '127.0.0.1:7003', mqtts: '127.0.0.1:7004', dataDir: join(dir, 'data') },
    ...{
      ingress: '127.0.0.1:7005',
      https: 'https://127.0.0.1:7006',
      coaps: 'coaps://127.0.0.1:7007',
      ingressCredential: join(dir, 'data/ingress.credential'),
    },
  });
});

test('before a broker elsewhere there is no ingress, and reports go there or are not served', async () => {
  const reportArgs = ['--upstream', 'mqtts://b', '--upstream-credential', 'line'];
  expect(await run({ json: true, upstream: { url: 'mqtts://b', reportArgs } })).toBe(0);
  const all = `--auth 127.0.0.1:7001 .* --metrics 127.0.0.1:0`;
  expect(log).toMatch(new RegExp(` mqtt  info  --mqtt M ${all}\n`));
  expect(log).toMatch(new RegExp(` https info  --https H --upstream mqtts://b --upstream-credential line ${all}\n`));
  expect(log).toMatch(new RegExp(` coap  info  --coaps C --upstream mqtts://b --upstream-credential line ${all}\n`));
  const { ingress, ...rest } = JSON.parse(printed);
  expect([ingress, rest.upstream, rest.https]).toEqual([undefined, 'mqtts://b', 'https://127.0.0.1:7006']);
  await expect(stat(join(dir, 'data/ingress.credential'))).rejects.toThrow('ENOENT');
});

test('before a broker elsewhere that takes no reports devices come by MQTT alone', async () => {
  expect(await run({ json: true, upstream: { url: 'mqtt://b', reportArgs: undefined } })).toBe(0);
  expect(JSON.parse(printed)).toEqual({
    ...{ event: 'ready', grpc: '127.0.0.1:7001', admin: 'http://127.0.0.1:7002', token: '/t/operator.token' },
    ...{ mqtt: '127.0.0.1:7003', mqtts: '127.0.0.1:7004', upstream: 'mqtt://b', dataDir: join(dir, 'data') },
  });
  expect(log).not.toMatch(/ (https|coap) /);
});

test('nothing is printed before devices get in', async () => {
  let before = '';
  const onPrint = () => {
    before = log;
    stop.abort();
  };
  expect(await run({ onPrint })).toBe(0);
  expect(before).toContain(' mqtt  info  devices get in\n');
});

test('a stop while no device gets in is clean', async () => {
  const mqtt = MQTT.replace('asked < 3 ? 503 : 200', '503');
  setTimeout(() => stop.abort(), 600);
  expect(await run({ mqtt })).toBe(0);
  expect(printed).toBe('');
});

test('without it the welcome comes when everything listens', async () => {
  expect(await run({})).toBe(0);
  expect(printed).toContain('Latchkey runs.');
});

test('a stop ends each service before those that it asks', async () => {
  expect(await run({})).toBe(0);
  const stops = [...log.matchAll(/(\w+) +info +stopped by (\w+)/g)].map(([, name, why]) => `${name} ${why}`);
  expect(stops).toEqual(['coap SIGTERM', 'https SIGTERM', 'mqtt SIGTERM', 'auth SIGTERM']);
});

test('while it runs the data directory tells the endpoints, to the owner alone', async () => {
  const path = join(dir, 'data/endpoints.json');
  const seen = Promise.withResolvers<[string, number, number, string]>();
  const look = async () => {
    const modes = [(await stat(path)).mode & 0o777, (await stat(join(dir, 'data'))).mode & 0o777] as const;
    seen.resolve([await readFile(path, 'utf8'), ...modes, await readFile(join(dir, 'data/.gitignore'), 'utf8')]);
    stop.abort();
  };
  expect(await run({ onPrint: () => void look().catch(seen.reject) })).toBe(0);
  const [text, fileMode, dirMode, ignored] = await seen.promise;
  expect(JSON.parse(text)).toMatchObject({ admin: 'http://127.0.0.1:7002', token: '/t/operator.token' });
  expect([fileMode, dirMode, ignored]).toEqual([0o600, 0o700, '*\n']);
  await expect(stat(path)).rejects.toThrow('ENOENT');
});

test('a service that dies later stops the others, with code 1 and its last errors', async () => {
  const mqtt = `${MQTT} setTimeout(() => { log('error', 'out of luck'); process.exit(1); }, 50);`;
  expect(await run({ mqtt, onPrint: () => undefined })).toBe(1);
  expect(log).toContain(' start error mqtt ended with exit code 1: out of luck\n');
  expect(log).toContain(' auth  info  stopped by SIGTERM\n');
});

test('what ended the launch is told once', async () => {
  expect(await run({ mqtt: `${LIFE} process.exit(2);` })).toBe(2);
  expect(log.match(/mqtt ended/g)).toHaveLength(1);
});

test('a service that fails while it is stopped makes the launch a failure', async () => {
  const auth = `${AUTH} process.removeAllListeners('SIGTERM').on('SIGTERM', () => { log('error', 'torn'); process.exit(1); });`;
  expect(await run({ auth })).toBe(1);
  expect(log).toContain(' start error auth ended with exit code 1: torn\n');
});

test('a service that ends by itself without an error is a failure as well', async () => {
  expect(await run({ mqtt: `${MQTT} setTimeout(() => process.exit(0), 50);`, onPrint: () => undefined })).toBe(1);
  expect(log).toContain(' start error mqtt ended with exit code 0\n');
});

test('wrong settings of a service end in code 2 with its message, and nothing is printed', async () => {
  const mqtt = `${LIFE} log('error', '--mqtt 127.0.0.1:1883: the port is in use'); process.exit(2);`;
  expect(await run({ mqtt })).toBe(2);
  expect(log).toContain(' start error mqtt ended with exit code 2: --mqtt 127.0.0.1:1883: the port is in use\n');
  expect(log).toContain(' auth  info  stopped by SIGTERM\n');
  expect(printed).toBe('');
});

test('a crash tells its message, not its stack', async () => {
  expect(await run({ auth: 'throw new Error("boom")' })).toBe(1);
  expect(log).toMatch(/ start error auth ended with exit code 1: .*: Error: boom\n$/);
});

test('a ready line without an address is a failure', async () => {
  expect(await run({ auth: `${LIFE} ready({ grpc: 'g', admin: 7480 });` })).toBe(1);
  expect(log).toContain(' start error auth is ready but does not tell its "admin"\n');
});

test('a data directory that cannot be made is a wrong setting', async () => {
  await writeFile(join(dir, 'data'), 'a file');
  expect(await run({})).toBe(2);
  expect(log).toMatch(/ start error --data-dir .*data cannot be made: EEXIST/);
});

test('a stop while a service starts is clean', async () => {
  setTimeout(() => stop.abort(), 300);
  expect(await run({ auth: 'setInterval(() => {}, 1000);' })).toBe(0);
  expect(printed).toBe('');
});

test('a kill ends a service that does not stop', async () => {
  const auth = `${AUTH} process.removeAllListeners('SIGTERM').on('SIGTERM', () => log('info', 'no'));`;
  const onPrint = () => {
    stop.abort();
    setTimeout(() => kill.abort(), 300);
  };
  expect(await run({ auth, onPrint })).toBe(1);
  expect(log).toContain(' start error auth ended with signal SIGKILL\n');
});
