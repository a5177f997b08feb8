import { resolve } from 'node:path';
import { forEach, operatorOf } from './operator.ts';
import type { Processes, Server } from './processes.ts';

/** The auth service's entry file. */
export const AUTH = resolve(import.meta.dirname, '../../../services/auth/src/main.ts');

/** Its listeners on free loopback ports. */
export const AUTH_LISTENERS = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0'];

/** Starts the auth service itself, with an embedded store in a new directory, and registers devices 0 to `devices` - 1. */
export async function startAuthServer(processes: Processes, devices: number): Promise<Server> {
  const server = await processes.start(AUTH, [
    ...['--data-dir', processes.directory(), '--log-level', 'warn'],
    ...AUTH_LISTENERS,
  ]);
  await forEach(devices, operatorOf(server).register);
  return server;
}
