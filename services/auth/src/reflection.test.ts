import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Service, startService } from './test-stores.ts';

const BUF = join(import.meta.dirname, '../../../node_modules/.bin/buf');
let service: Service;

beforeAll(async () => {
  service = await startService('embedded');
});
afterAll(() => service.stop());

/** What `buf curl` prints, which knows the schema from reflection alone. */
async function curl(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(BUF, ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', ...args]);
  return stdout;
}

test('a generic client lists the services and their methods', async () => {
  const url = `http://${service.grpc}`;
  expect((await curl('--list-services', url)).split('\n')).toEqual([
    'grpc.health.v1.Health',
    'latchkey.v1.AuthenticationService',
    '',
  ]);
  expect(await curl('--list-methods', url)).toContain('latchkey.v1.AuthenticationService/Authenticate\n');
});

test('it calls them too: health, and a question', async () => {
  const health = await curl('-d', '{}', `http://${service.grpc}/grpc.health.v1.Health/Check`);
  expect(JSON.parse(health)).toEqual({ status: 'SERVING' });
  const question = { deviceId: 'nobody', protocol: 'PROTOCOL_MQTT', proof: { secret: { secret: 'whatever' } } };
  const url = `http://${service.grpc}/latchkey.v1.AuthenticationService/Authenticate`;
  expect(JSON.parse(await curl('-d', JSON.stringify(question), url))).toEqual({
    denied: { reason: 'DENY_REASON_UNKNOWN_DEVICE' },
  });
});
