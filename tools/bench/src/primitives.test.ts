import { expect, test } from 'vitest';
import { primitivesSuite } from './primitives.ts';
import { Processes } from './processes.ts';

test('every part has its cost, among the rates and as a bar', async () => {
  const plan = { quick: true, rounds: 1, scale: 0.01, processes: new Processes(), say: () => undefined };
  const { rates, bars } = await primitivesSuite(plan);
  expect(Object.keys(rates)).toEqual([
    ...[
      'lru_get_zipf_cpu_ns',
      'lru_get_uniform_cpu_ns',
      'hmac_sha256_one_shot_cpu_ns',
      'hmac_sha256_create_hmac_cpu_ns',
    ],
    ...['timing_safe_equal_cpu_ns', 'aes_gcm_open_cpu_ns', 'request_decode_cpu_ns', 'request_encode_cpu_ns'],
    ...['response_decode_cpu_ns', 'response_encode_cpu_ns'],
  ]);
  for (const { median } of Object.values(rates)) expect(median).toBeGreaterThan(0);
  expect(Object.values(bars?.['primitives_cpu']?.bars ?? {})).toEqual(Object.values(rates));
});
