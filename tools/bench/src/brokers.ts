import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '@latchkey/kernel/testing';
import { cpuUsOf, type Processes, type Server } from './processes.ts';
import { isInstalled, WITH_SBIN, whatIsMissing } from './programs.ts';

/** Another broker, with a listener for plain MQTT and one for TLS. */
export type Broker = Pick<Server, 'cpuUs'> & { readonly port: number; readonly tlsPort: number };

/** Who may log in there. */
export type User = { readonly name: string; readonly password: string };

/** A certificate that vouches for itself, good for 127.0.0.1, and its key: PEM files. */
export type Pair = { readonly cert: string; readonly key: string };

/** What a broker of a run is started with. */
export type BrokerSetup = {
  readonly processes: Processes;
  readonly users: readonly User[];
  readonly pair: Pair;
};

/** RabbitMQ needs half a minute on a busy machine. */
const START_DEADLINE_MS = 150_000;
const PROBE_PAUSE_MS = 100;

/** What is kept of a broker's output, for the error when it does not start. */
const MAX_SAID_CHARS = 20_000;

/** Not the one in /usr/sbin, which runs as root or as the user rabbitmq alone. */
const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';

const run = promisify(execFile);

/** The brokers that are not here, with what to install. */
export function missingBrokers(): Readonly<Record<string, string>> {
  const missing = {
    mosquitto: whatIsMissing({ mosquitto: 'mosquitto' }),
    rabbitmq: whatIsMissing({ [RABBITMQ]: 'rabbitmq-server' }),
  };
  return Object.fromEntries(
    Object.entries(missing).flatMap(([name, what]) => (what === undefined ? [] : [[name, what]])),
  );
}

/** Makes a certificate for the servers of a run, on P-256. */
export async function newPair(processes: Processes): Promise<Pair> {
  const folder = processes.directory();
  const [cert, key] = [join(folder, 'server.pem'), join(folder, 'server.key')];
  const what = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const whose = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await run('openssl', ['req', '-x509', ...what, ...whose, '-keyout', key, '-out', cert]);
  return { cert, key };
}

/** Mosquitto with a password file, hashed as its own tool does by default; undefined where it is not installed. */
export async function startMosquitto({ processes, users, pair }: BrokerSetup): Promise<Broker | undefined> {
  if (!isInstalled('mosquitto')) return undefined;
  const folder = processes.directory();
  const [passwords, config] = [join(folder, 'passwords'), join(folder, 'mosquitto.conf')];
  await writeFile(passwords, users.map(({ name, password }) => `${name}:${password}\n`).join(''), { mode: 0o600 });
  await run('mosquitto_passwd', ['-U', passwords], { env: WITH_SBIN });
  const [port, tlsPort] = [await freePort(), await freePort()];
  const lines = [
    ...[`user ${userInfo().username}`, 'log_type error', 'persistence false'],
    ...['allow_anonymous false', `password_file ${passwords}`],
    ...[`listener ${port} 127.0.0.1`, `listener ${tlsPort} 127.0.0.1`],
    ...[`certfile ${pair.cert}`, `keyfile ${pair.key}`],
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  const launched = await launch('mosquitto', ['-c', config], WITH_SBIN);
  const { child } = launched;
  endWith(processes, child, () => child.pid);
  await untilListening(launched, [port, tlsPort]);
  return { port, tlsPort, cpuUs: () => cpuUsOf(child.pid) };
}

/** RabbitMQ with users of its own, as a node of its own; undefined where it is not installed. */
export async function startRabbitmq(setup: BrokerSetup): Promise<Broker | undefined> {
  if (!existsSync(RABBITMQ)) return undefined;
  const folder = setup.processes.directory();
  const [port, tlsPort, nodePort, mapperPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  await writeRabbitFiles(folder, setup, { port, tlsPort });
  const file = (name: string) => join(folder, name);
  const mapperEnv = { ERL_EPMD_PORT: String(mapperPort), ERL_EPMD_ADDRESS: '127.0.0.1' };
  // Erlang's port mapper, which RabbitMQ would leave behind as a daemon.
  const { child: mapper } = await launch('epmd', [], { ...process.env, ...mapperEnv });
  endWith(setup.processes, mapper, () => mapper.pid);
  const launched = await launch(RABBITMQ, [], {
    ...mapperEnv,
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    HOME: file('home'), // the node's cookie lies there
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins'),
    RABBITMQ_MNESIA_BASE: file('mnesia'),
    RABBITMQ_LOG_BASE: file('log'),
    RABBITMQ_NODENAME: `latchkey-bench-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(nodePort),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  });
  // The script's child is the node; the script and the node's own programs end with it.
  const { child } = launched;
  const node = () => childOf(child.pid);
  endWith(setup.processes, child, node);
  await untilListening(launched, [port, tlsPort]);
  const pid = node();
  return { port, tlsPort, cpuUs: () => cpuUsOf(pid) };
}

async function writeRabbitFiles(
  folder: string,
  { users, pair }: BrokerSetup,
  { port, tlsPort }: Pick<Broker, 'port' | 'tlsPort'>,
): Promise<void> {
  const lines = [
    ...['listeners.tcp = none', 'log.console = true', 'log.console.level = error', 'log.file = false'],
    ...[`mqtt.listeners.tcp.1 = 127.0.0.1:${port}`, `mqtt.listeners.ssl.1 = 127.0.0.1:${tlsPort}`],
    ...['mqtt.allow_anonymous = false', `load_definitions = ${join(folder, 'definitions.json')}`],
    ...[`ssl_options.certfile = ${pair.cert}`, `ssl_options.keyfile = ${pair.key}`],
  ];
  const definitions = {
    vhosts: [{ name: '/' }],
    users: users.map(({ name, password }) => ({ name, password_hash: rabbitHash(password), tags: [] })),
    permissions: users.map(({ name }) => ({ user: name, vhost: '/', configure: '.*', write: '.*', read: '.*' })),
  };
  await mkdir(join(folder, 'home'));
  await writeFile(join(folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
  await writeFile(join(folder, 'definitions.json'), JSON.stringify(definitions));
  await writeFile(join(folder, 'enabled_plugins'), '[rabbitmq_mqtt].\n');
}

/** rabbit_password_hashing_sha256: four bytes of salt, then SHA-256 of salt and password. */
function rabbitHash(password: string): string {
  const salt = randomBytes(4);
  return Buffer.concat([salt, createHash('sha256').update(salt).update(password).digest()]).toString('base64');
}

/** A server's process, and what it printed last. */
export type Launched = { readonly child: ChildProcess; readonly said: () => string };

/** Starts a server's program, in a group of its own: Ctrl-C reaches the bench alone. */
export async function launch(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Launched> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-MAX_SAID_CHARS);
    });
  }
  await once(child, 'spawn');
  return { child, said: () => said };
}

/** Has it end with the run. Nothing of it is kept, so that it need not stop in order. */
export function endWith(processes: Processes, child: ChildProcess, pidOf: () => number | undefined): void {
  const exited = once(child, 'exit');
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const kill = () => {
    const pid = isOver() ? undefined : pidOf();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  };
  process.once('exit', kill);
  processes.add(async () => {
    kill();
    await exited;
    process.off('exit', kill);
  });
}

/** The first child, or the process itself as long as it has none. */
function childOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return first === undefined || first === '' ? pid : Number(first);
}

/** Waits until it listens on these TCP ports. Rejects when it ends before, or does not. */
export async function untilListening({ child, said }: Launched, ports: readonly number[]): Promise<void> {
  const { spawnfile } = child;
  for (let waitedMs = 0; waitedMs < START_DEADLINE_MS; waitedMs += PROBE_PAUSE_MS) {
    if (child.exitCode !== null)
      throw new Error(`${spawnfile} ended with ${child.exitCode} before it listened:\n${said()}`);
    if ((await Promise.all(ports.map(listens))).every(Boolean)) return;
    await pause(PROBE_PAUSE_MS);
  }
  throw new Error(`${spawnfile} does not listen:\n${said()}`);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
