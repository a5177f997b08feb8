import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from './testing.ts';

test('a free port can be listened on, and is not one that others get who take any', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort));
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  expect(Math.max(...ports)).toBeLessThan((other.address() as AddressInfo).port);
  const server = createServer().listen(ports[0], '127.0.0.1');
  await once(server, 'listening');
  for (const one of [other, server]) one.close();
});
