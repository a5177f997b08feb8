import { granted } from '@latchkey/gateway-kit/testing';
import { Secret } from '@latchkey/kernel';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Bench, startBench, until } from '../test-bench.ts';
import { ACCEPT, connectBytes, device, RawUpstream, type Wire } from './test-upstream.ts';
import type { UpstreamConfig } from './upstream.ts';

/** The gateway's password at the broker. */
export const PASSWORD = 'password-of-the-gateway';

/** A gateway between an auth service and a broker that are both the test's to play. */
export type Scene = {
  readonly bench: Bench;
  readonly upstream: RawUpstream;
  readonly config: UpstreamConfig;
  /** Undone after the test. */
  readonly ends: (() => unknown)[];
  /** A figure of the gateway's metrics, 0 if there is none. */
  readonly figure: (name: string) => Promise<number>;
  /** A device's plain connection. */
  readonly open: () => Promise<Wire>;
  /** A device that is through to the broker: both ends of its link. */
  readonly joined: (deviceId: string, version?: 3 | 4 | 5) => Promise<{ readonly near: Wire; readonly far: Wire }>;
};

/** Sets the scene for the tests of a file; to be called from within them. */
export function setScene(): () => Scene {
  let scene: Scene | undefined;
  const now = () => {
    if (scene === undefined) throw new Error('no test runs');
    return scene;
  };
  beforeAll(async () => {
    scene = await newScene();
  });
  afterEach(async () => {
    const { ends, upstream, bench, figure } = now();
    for (const end of ends.splice(0)) await end();
    for (const { socket } of upstream.links.splice(0)) socket.destroy();
    upstream.greet = () => undefined;
    bench.table.answer = ({ deviceId }) => granted(`${deviceId}-1`, 1n);
    await until(async () => (await figure('latchkey_gateway_sessions_open')) === 0);
  });
  afterAll(async () => {
    await now().bench.stop();
    await now().upstream.stop();
  });
  return now;
}

async function newScene(): Promise<Scene> {
  const upstream = new RawUpstream();
  const address = { host: '127.0.0.1', port: await upstream.start() };
  const config = { address, tls: undefined, username: undefined, password: new Secret(PASSWORD) };
  const deadlines = { connectMs: 400, decisionMs: 500, upstreamMs: 400, holdMs: 20 };
  const bench = await startBench({ upstream: config, deadlines });
  const ends: (() => unknown)[] = [];
  const figure = async (name: string) => {
    const text = await (await fetch(bench.url('/metrics'))).text();
    const line = text.split('\n').find((each) => each.startsWith(name)) ?? '0';
    return Number(line.slice(line.lastIndexOf(' ')));
  };
  const open = async () => {
    const wire = await device(bench.mqtt);
    ends.push(() => wire.socket.destroy());
    return wire;
  };
  const joined = async (deviceId: string, version: 3 | 4 | 5 = 4) => {
    const [near, coming] = [await open(), upstream.next()];
    near.socket.write(connectBytes(deviceId, version));
    const far = await coming;
    await far.bytes(2);
    far.socket.write(ACCEPT[version]);
    await near.bytes(ACCEPT[version].length);
    return { near, far };
  };
  return { bench, upstream, config, ends, figure, open, joined };
}
