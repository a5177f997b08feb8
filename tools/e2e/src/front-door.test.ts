import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Broker, startBroker } from './broker.ts';
import { newPlace, type Place } from './place.ts';
import { type Program, start } from './program.ts';
import { ROAD } from './road.ts';
import { type System, startAuth, systemOf } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const FREE = '127.0.0.1:0';

/** What the road asks of a gateway's plain listener; the broker behind it is a real one. */
const PIECES = [
  'the first connect, and nothing before it, activates the device',
  'a reset of the secondary disturbs nobody, and the new secret takes the link over',
  'a reset of the primary refuses the old one at once and leaves its link',
  'a reset by force closes the links',
  'a frozen device is dropped and refused, and told so only with a right proof',
  'a deleted device is dropped and refused, and can be registered anew',
  'a malformed client id and a keepalive out of bounds are answered 2',
  'a device cannot tell a wrong secret from an unknown device',
  'sign type 1 passes in its hour only',
];

let place: Place;
let broker: Broker;
let auth: Program;
let gateway: Program;
let system: System;

beforeAll(async () => {
  place = await newPlace();
  broker = await startBroker();
  auth = await startAuth(place, 0);
  const upstream = ['--upstream', `mqtt://127.0.0.1:${broker.port}`];
  const listeners = ['--mqtt', FREE, '--metrics', FREE];
  const grpc = auth.ready['grpc'] ?? '';
  gateway = await start('services/mqtt-gateway/src/main.ts', ['--auth', grpc, ...listeners, ...upstream]);
  system = systemOf(place, auth, gateway);
});
afterAll(async () => {
  expect([await gateway.end(), await auth.end()]).toEqual([0, 0]);
  await broker.stop();
  await place.remove();
});

test('every piece is one of the road', () => {
  expect(ROAD.map(({ name }) => name)).toEqual(expect.arrayContaining(PIECES));
});

test.for(ROAD.filter(({ name }) => PIECES.includes(name)))('$name', async ({ run }, { onTestFailed }) => {
  onTestFailed(() => console.error(system.said()));
  await run(system);
});
