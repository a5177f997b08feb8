import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import {
  CredentialService,
  DeviceService,
  type ListDevicesRequest,
  type ResetCredentialRequest,
} from '@latchkey/protocol/v1';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { runCli } from './program.ts';

// What the commands ask for, where the answer does not show it.
const PAGE = 1000;
const FLEET = 2500;

let server: Server;
let admin: string;
let lists: ListDevicesRequest[];
let resets: ResetCredentialRequest[];

beforeAll(async () => {
  const routes = connectNodeAdapter({
    routes: (router) =>
      router
        .service(DeviceService, {
          listDevices: (request) => {
            lists.push(request);
            const start = Number(request.pageToken);
            const end = Math.min(start + request.pageSize, FLEET);
            const devices = Array.from({ length: end - start }, (_, index) => ({ deviceId: `d${start + index}` }));
            return { devices, nextPageToken: end < FLEET ? String(end) : '' };
          },
        })
        .service(CredentialService, {
          resetCredential: (request) => {
            resets.push(request);
            return {};
          },
        }),
  });
  server = createServer(routes);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  [lists, resets] = [[], []];
});

async function cli(line: string): Promise<string> {
  let out = '';
  const code = await runCli(['--admin', admin, '--json', ...line.split(' ')], {
    print: (part) => {
      out += part;
    },
    complain: (part) => {
      out += part;
    },
    readInput: async () => '',
    now: () => 0,
    uuid: randomUUID,
    token: 'a-token',
  });
  expect([code, out]).toEqual([0, expect.any(String)]);
  return out;
}

test('a listing asks for full pages, and for no more than its limit', async () => {
  const { devices, more } = JSON.parse(await cli('device list --limit 2200'));
  expect(lists.map(({ pageToken, pageSize }) => [pageToken, pageSize])).toEqual([
    ['', PAGE],
    ['1000', PAGE],
    ['2000', 200],
  ]);
  expect([devices.length, devices[0].deviceId, devices[2199].deviceId, more]).toEqual([2200, 'd0', 'd2199', true]);
});

test('a listing ends with the fleet', async () => {
  const { devices, more } = JSON.parse(await cli('device list --limit 100000'));
  expect([lists.length, devices.length, more]).toEqual([3, FLEET, false]);
});

test('each write draws an id of its own, unless it is told one', async () => {
  const reset = 'credential reset d --kind secret --slot primary';
  await cli(reset);
  await cli(reset);
  await cli(`${reset} --request-id 7e57ab1e-0000-4000-8000-000000000001`);
  const [first, second, third] = resets.map(({ requestId }) => requestId);
  expect(first).toMatch(/^[0-9a-f-]{36}$/);
  expect(second).not.toBe(first);
  expect(third).toBe('7e57ab1e-0000-4000-8000-000000000001');
});

test('a reset closes sessions and looks at the revision only when it is told to', async () => {
  const reset = 'credential reset d --kind secret --slot primary';
  await cli(reset);
  await cli(`${reset} --force-disconnect --expected-revision 9007199254740991`);
  expect(resets.map(({ forceDisconnect, expectedRevision }) => [forceDisconnect, expectedRevision])).toEqual([
    [false, undefined],
    [true, 9_007_199_254_740_991n],
  ]);
});
