import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Place } from './place.ts';
import { type Failure, type Program, start, tryStart } from './program.ts';

/** A product that runs: what its operators and devices need to know. */
export type System = {
  readonly dataDir: string;
  /** URL of the operators' listener. */
  readonly admin: string;
  /** Ports on 127.0.0.1. */
  readonly mqtt: number;
  readonly mqtts: number;
  readonly https: number;
  /** UDP. */
  readonly coaps: number;
  /** The last log lines of its processes. */
  readonly said: () => string;
};

/** A system under the launcher. */
export type Launched = System & { readonly launcher: Program; readonly stop: () => Promise<number | null> };

/** The launcher's entry file. */
export const LAUNCHER = 'tools/start/src/main.ts';

const FREE = '127.0.0.1:0';
const FREE_PORTS = ['grpc', 'admin', 'mqtt', 'mqtts', 'https', 'coaps'].flatMap((name) => [`--${name}`, FREE]);

/** What the launcher is told to start on this place on free ports; later options win. */
export function launcherArgs(place: Place, ...more: readonly string[]): string[] {
  // Before a broker elsewhere there is none.
  const ingress = more.includes('--upstream') ? [] : ['--ingress', FREE];
  return ['--json', '--data-dir', place.dataDir, ...FREE_PORTS, ...ingress, ...place.storeArgs, ...more];
}

/** Starts everything through the launcher and waits until it listens. */
export async function launch(place: Place, ...more: readonly string[]): Promise<Launched> {
  return asSystem(await start(LAUNCHER, launcherArgs(place, ...more)));
}

/** Starts the launcher where it may fail. */
export function tryLaunch(args: readonly string[]): Promise<Program | Failure> {
  return tryStart(LAUNCHER, args);
}

/** The system of a launcher that is ready. */
export function asSystem(launcher: Program): Launched {
  const { dataDir = '', admin = '', mqtt = '', mqtts = '', https = '', coaps = '' } = launcher.ready;
  return {
    ...{ dataDir, admin, launcher },
    ...{ mqtt: portOf(mqtt), mqtts: portOf(mqtts), https: portOf(https), coaps: portOf(coaps) },
    said: launcher.said,
    stop: () => launcher.end('SIGINT'),
  };
}

/** The auth service alone; its gateways' listener takes the given port. */
export function startAuth(place: Place, grpcPort: number, ...more: readonly string[]): Promise<Program> {
  const ports = ['--grpc', `127.0.0.1:${grpcPort}`, '--admin', FREE];
  return start('services/auth/src/main.ts', ['--data-dir', place.dataDir, ...ports, ...place.storeArgs, ...more]);
}

/** The MQTT gateway alone, without TLS, over one auth service or several replicas. */
export function startGateway(...authPorts: readonly number[]): Promise<Program> {
  const auth = authPorts.map((port) => `127.0.0.1:${port}`).join(',');
  return start('services/mqtt-gateway/src/main.ts', ['--auth', auth, '--mqtt', FREE, '--metrics', FREE]);
}

/** The system of two services that were started one by one. */
export function systemOf(place: Place, auth: Program, gateway: Program): System {
  return {
    dataDir: place.dataDir,
    admin: auth.ready['admin'] ?? '',
    mqtt: portOf(gateway.ready['mqtt'] ?? ''),
    mqtts: 0,
    https: 0,
    coaps: 0,
    said: () => `auth:\n${auth.said()}\ngateway:\n${gateway.said()}`,
  };
}

/** Path of the certificate that devices are to trust. */
export function caFile({ dataDir }: System): string {
  return join(dataDir, 'tls/ca.pem');
}

/** The operator's token. */
export function tokenOf({ dataDir }: System): string {
  return readFileSync(join(dataDir, 'operator.token'), 'utf8').trim();
}

/** The port of `host:port`. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
