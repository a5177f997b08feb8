import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Secret } from '@latchkey/kernel';
import { freePort } from '@latchkey/kernel/testing';
import { newAuthority, type Pair } from '../test-certificates.ts';
import { secureContextOf, type UpstreamConfig } from './upstream.ts';

/** A broker that runs as docs/front-door.md says, on a free loopback port. */
export type TestBroker = {
  readonly port: number;
  /** How the gateway reaches it. */
  readonly upstream: UpstreamConfig;
  /** TLS options of an application; undefined: plain TCP. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | undefined;
  /** Ends it with its data in place, and starts it anew. */
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** Ends it, and removes its data. */
  readonly remove: () => Promise<void>;
};

/** Passwords at the brokers. */
export const GATEWAY_PASSWORD = 'password-of-the-gateway';
export const BACKEND_PASSWORD = 'password-of-the-backend';

const PAGE = join(import.meta.dirname, '../../../../docs/front-door.md');

/** RabbitMQ needs half a minute on a busy machine. */
const START_DEADLINE_MS = 150_000;
const PROBE_PAUSE_MS = 100;

const MAX_LOGGED_CHARS = 20_000;

/** A file of the page, as it stands there. */
function pageFile(name: string): string {
  const page = readFileSync(PAGE, 'utf8');
  const [, text] =
    new RegExp(`<!-- file: ${name.replace('.', '\\.')} -->\n\`\`\`[a-z]+\n([^]*?)\`\`\``).exec(page) ?? [];
  if (text === undefined) throw new Error(`docs/front-door.md has no file ${name}`);
  return text;
}

type Place = {
  readonly folder: string;
  readonly port: number;
  readonly secure: boolean;
  readonly pairs: { readonly ca: string; readonly gateway: Pair; readonly backend: Pair };
};

/** A folder with the broker's certificate, where the page's folder of /etc would be. */
async function newPlace(secure: boolean): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-broker-'));
  const authority = await newAuthority('Brokers');
  const [broker, gateway, backend] = [
    await authority.issue('localhost'),
    await authority.issue('gateway'),
    await authority.issue('backend'),
  ];
  await writeFile(join(folder, 'ca.pem'), authority.cert);
  await writeFile(join(folder, 'broker.pem'), broker.cert);
  await writeFile(join(folder, 'broker.key'), broker.key);
  return { folder, port: await freePort(), secure, pairs: { ca: authority.cert, gateway, backend } };
}

function inPlace(text: string, { folder, port }: Place): string {
  return text
    .replaceAll(/\/etc\/[a-z]+\/latchkey/g, folder)
    .replaceAll('10.0.0.5:8883', `127.0.0.1:${port}`)
    .replaceAll('8883 10.0.0.5', `${port} 127.0.0.1`);
}

/** Mosquitto with the page's files; `secure` as they stand, else without their lines on TLS, as the page says. */
export async function mosquitto(secure: boolean): Promise<TestBroker> {
  const place = await newPlace(secure);
  const { folder } = place;
  const tlsLine = /^(cafile|certfile|keyfile|require_certificate) .*\n/gm;
  const config = inPlace(pageFile('mosquitto.conf'), place);
  const own = `user ${userInfo().username}\nlog_type all\n`;
  await writeFile(join(folder, 'mosquitto.conf'), own + (secure ? config : config.replaceAll(tlsLine, '')));
  await writeFile(join(folder, 'acl'), pageFile('acl'));
  await writeFile(join(folder, 'passwords'), '');
  for (const [name, password] of [
    ['latchkey', GATEWAY_PASSWORD],
    ['backend', BACKEND_PASSWORD],
  ] as const) {
    await promisify(execFile)('mosquitto_passwd', ['-b', join(folder, 'passwords'), name, password], withSbin());
  }
  const start = () => launch('mosquitto', ['-c', join(folder, 'mosquitto.conf')], withSbin().env);
  return running(place, start, (child) => end(child, child.pid));
}

/** RabbitMQ with the page's files, as a node of its own. */
export async function rabbitmq(): Promise<TestBroker> {
  const place = await newPlace(true);
  const { folder } = place;
  const file = (name: string) => join(folder, name);
  const settings = 'listeners.tcp = none\nlog.console = true\nlog.file = false\n';
  await writeFile(file('rabbitmq.conf'), settings + inPlace(pageFile('rabbitmq.conf'), place));
  const definitions = pageFile('definitions.json')
    .replace("HASH OF THE GATEWAY'S PASSWORD", rabbitHash(GATEWAY_PASSWORD))
    .replace("HASH OF THE APPLICATION'S PASSWORD", rabbitHash(BACKEND_PASSWORD));
  await writeFile(file('definitions.json'), definitions);
  await writeFile(file('enabled_plugins'), '[rabbitmq_mqtt].\n');
  await mkdir(file('home'));
  // Erlang's port mapper, which RabbitMQ would leave behind as a daemon.
  const [mapperPort, nodePort] = [String(await freePort()), String(await freePort())];
  const mapper = await launch('epmd', ['-port', mapperPort, '-address', '127.0.0.1'], process.env);
  const env = {
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    HOME: file('home'), // the node's cookie lies there
    ERL_EPMD_PORT: mapperPort,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins'),
    RABBITMQ_MNESIA_BASE: file('mnesia'),
    RABBITMQ_LOG_BASE: file('log'),
    RABBITMQ_NODENAME: `latchkey-${place.port}@localhost`,
    RABBITMQ_DIST_PORT: nodePort,
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  };
  // Not the one in /usr/sbin, which runs as root or as the user rabbitmq alone.
  const start = () => launch('/usr/lib/rabbitmq/bin/rabbitmq-server', [], env);
  // The script's child is the node; the script and the node's own helpers end with it.
  const broker = await running(place, start, (child) => end(child, childOf(child.pid)));
  const remove = async () => {
    await broker.remove();
    await end(mapper.child, mapper.child.pid);
  };
  return { ...broker, remove };
}

/** rabbit_password_hashing_sha256: four bytes of salt, then SHA-256 of salt and password. */
function rabbitHash(password: string): string {
  const salt = randomBytes(4);
  const digest = createHash('sha256').update(salt).update(password).digest();
  return Buffer.concat([salt, digest]).toString('base64');
}

type Launched = { readonly child: ChildProcess; readonly said: () => string };

/** Debian keeps servers in folders that not every user searches. */
function withSbin(): { readonly env: NodeJS.ProcessEnv } {
  return { env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } };
}

async function launch(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Launched> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-MAX_LOGGED_CHARS);
    });
  }
  await once(child, 'spawn');
  const killWithUs = () => void end(child, program.endsWith('rabbitmq-server') ? childOf(child.pid) : child.pid);
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  return { child, said: () => said };
}

function childOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return first === undefined || first === '' ? pid : Number(first);
}

async function end(child: ChildProcess, pid: number | undefined): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || pid === undefined) return;
  const exited = once(child, 'exit');
  process.kill(pid, 'SIGKILL');
  await exited;
}

async function running(
  place: Place,
  launchIt: () => Promise<Launched>,
  kill: (child: ChildProcess) => Promise<void>,
): Promise<TestBroker> {
  const { port, pairs, secure, folder } = place;
  let launched: Launched | undefined;
  const stop = async () => {
    if (launched !== undefined) await kill(launched.child);
    launched = undefined;
  };
  const start = async () => {
    launched = await launchIt();
    await untilListening(launched, port);
  };
  const remove = async () => {
    await stop();
    await rm(folder, { recursive: true, force: true });
  };
  await start().catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  const identity = { cert: Buffer.from(pairs.gateway.cert), key: Buffer.from(pairs.gateway.key) };
  const upstream: UpstreamConfig = {
    address: { host: '127.0.0.1', port },
    tls: secure ? () => secureContextOf({ ca: Buffer.from(pairs.ca), identity }) : undefined,
    username: 'latchkey',
    password: new Secret(GATEWAY_PASSWORD),
  };
  return { port, upstream, tls: secure ? { ca: pairs.ca, ...pairs.backend } : undefined, stop, start, remove };
}

async function untilListening({ child, said }: Launched, port: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < START_DEADLINE_MS; waitedMs += PROBE_PAUSE_MS) {
    if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}:\n${said()}`);
    if (await listens(port)) return;
    await pause(PROBE_PAUSE_MS);
  }
  throw new Error(`nothing listens on ${port}:\n${said()}`);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
