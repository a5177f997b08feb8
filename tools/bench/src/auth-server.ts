import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { create, toJson } from '@bufbuild/protobuf';
import { CreateDeviceRequestSchema, DeviceService } from '@latchkey/protocol/v1';
import { deviceIdOf, secretOf } from './devices.ts';
import type { Processes, Server } from './processes.ts';

const SCRIPT = resolve(import.meta.dirname, '../../../services/auth/src/main.ts');

/** Registrations under way: the embedded store writes them as a group. */
const IN_FLIGHT = 64;
const DEADLINE_MS = 10_000;

/** Starts the auth service itself, with an embedded store in a new directory, and registers devices 0 to `devices` - 1. */
export async function startAuthServer(processes: Processes, devices: number): Promise<Server> {
  const listeners = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
  const server = await processes.start(SCRIPT, [
    ...['--data-dir', processes.directory(), '--log-level', 'warn'],
    ...listeners,
  ]);
  const token = readFileSync(server.field('token'), 'utf8').trim();
  let next = 0;
  const lane = async () => {
    while (next < devices) await register(server.field('admin'), token, next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return server;
}

async function register(admin: string, token: string, index: number): Promise<void> {
  const primary = { case: 'secret', value: { value: secretOf(index) } } as const;
  const device = create(CreateDeviceRequestSchema, { deviceId: deviceIdOf(index), primary });
  const { createDevice } = DeviceService.method;
  const response = await fetch(`${admin}/${DeviceService.typeName}/${createDevice.name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify(toJson(CreateDeviceRequestSchema, device)),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`device ${index} could not be registered: ${response.status} ${text}`);
}
