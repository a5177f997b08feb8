import { DenyReason } from '@latchkey/protocol/v1';
import { afterEach, expect, test } from 'vitest';
import { attempt } from './test-process.ts';
import { type Service, startService } from './test-stores.ts';

let service: Service;
afterEach(() => service.stop());

async function ask(deviceId: string, secret: string, source: string): Promise<DenyReason | 'GRANTED'> {
  const { decision } = await service.clients.authenticate({ ...attempt(deviceId, secret), source }, 10_000);
  return decision.case === 'denied' ? decision.value.reason : 'GRANTED';
}

test('who fails too often from one address is throttled there, and the operator sees it', async () => {
  service = await startService('embedded', '--failed-attempts', '2', '--failed-attempt-seconds', '3600');
  await service.clients.devices.createDevice({
    deviceId: 'd',
    primary: { case: 'secret', value: { value: 'secret-1' } },
  });
  const answers = [];
  for (const source of ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2'])
    answers.push(await ask('d', 'wrong-1', source));
  const { SECRET_MISMATCH, THROTTLED } = DenyReason;
  expect(answers).toEqual([SECRET_MISMATCH, SECRET_MISMATCH, THROTTLED, SECRET_MISMATCH]);
  expect(await ask('d', 'secret-1', '192.0.2.2')).toBe('GRANTED');
  const metrics = await (await fetch(`${service.admin}/metrics`)).text();
  expect(metrics).toMatch(/latchkey_decisions_total\{outcome="throttled",.*\} 1/);
  expect(metrics).toMatch(/latchkey_failing_devices\{.*\} 2/);
});

test('a budget of 0 is none', async () => {
  service = await startService('embedded', '--failed-attempts', '0');
  for (let count = 0; count < 30; count++) expect(await ask('d', 'wrong-1', 's')).toBe(DenyReason.UNKNOWN_DEVICE);
});
