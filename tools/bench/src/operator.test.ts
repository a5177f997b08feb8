import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { operatorAt } from './operator.ts';

/** Answers with these statuses one after the other; `undefined` cuts the connection instead. */
async function adminThat(statuses: readonly (number | undefined)[]) {
  let calls = 0;
  const server = createServer((request, response) => {
    const status = statuses[calls++];
    request.resume();
    if (status === undefined) request.socket.destroy();
    else response.writeHead(status).end('{}');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  return { operator: operatorAt(`http://127.0.0.1:${port}`, 'token'), calls: () => calls };
}

test('a call whose connection ends as it is used again is sent again, and so is one that cannot be answered now', async () => {
  const { operator, calls } = await adminThat([200, undefined, 503, 200]);
  await operator.register(0);
  await operator.register(1);
  expect(calls()).toBe(4);
});

test('a new connection that ends is an error', async () => {
  const { operator } = await adminThat([undefined]);
  await expect(operator.register(0)).rejects.toThrow('socket hang up');
});

test('what is there already is an error of register and not of ensure; what is gone is none of remove', async () => {
  const { operator } = await adminThat([409, 409, 404, 404]);
  await expect(operator.register(0)).rejects.toThrow(': 409 {}');
  await operator.ensure(0);
  await operator.remove(0);
  await expect(operator.reset(0, false)).rejects.toThrow(': 404 {}');
});
