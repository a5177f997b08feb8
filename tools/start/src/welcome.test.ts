import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { connectLine, createLine, reachable, shellQuote, welcome } from './welcome.ts';

/** What sh makes of a command's words. */
function words(line: string): string[] {
  return execFileSync('sh', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
}

test('the line that registers a device names the data directory only when it is another', () => {
  expect(createLine('/x/.latchkey', true)).toBe('npx latchkey device create demo --secret 12345678');
  expect(createLine("/it's here", false)).toBe(
    "LATCHKEY_DATA_DIR='/it'\\''s here' npx latchkey device create demo --secret 12345678",
  );
});

test('the line that connects a device survives the shell', () => {
  expect(words(connectLine({ host: '0.0.0.0', port: 1884 }))).toEqual([
    ...['mosquitto_pub', '-h', '127.0.0.1', '-p', '1884', '-i', 'demo_0_0_2026010100', '-u', 'demo'],
    ...[
      '-P',
      '425c02694bc8251b7584ff5eec43bf11057e5f6574efd6890a0542252f2be62d',
      '-t',
      '$oc/devices/demo/sys/messages/up',
      '-m',
      'hello',
    ],
  ]);
});

test.each([
  ['0.0.0.0:1', '127.0.0.1:1'],
  ['[::]:2', '[::1]:2'],
  ['127.0.0.1:3', '127.0.0.1:3'],
])('%s is reached at %s', (listener, address) => {
  expect(reachable(listener)).toBe(address);
});

test.each(['plain/path', "it's", 'a b', '$HOME', '"', ''])('%j is one word of the shell', (text) => {
  expect(words(`x${shellQuote(text)}y`)).toEqual([`x${text}y`]);
});

test('the welcome tells every address, the path of the token, and both lines', () => {
  const endpoints = {
    ...{ grpc: '127.0.0.1:1', admin: 'http://127.0.0.1:2', mqtt: '127.0.0.1:3', mqtts: '127.0.0.1:4' },
    ...{
      ingress: '127.0.0.1:5',
      https: 'https://127.0.0.1:6',
      coaps: 'coaps://127.0.0.1:7',
      ingressCredential: '/d/ingress.credential',
      token: '/d/operator.token',
      dataDir: '/d',
    },
  };
  const text = welcome(endpoints, false);
  for (const value of [...Object.values(endpoints), '/d/tls/ca.pem']) expect(text).toContain(value);
  expect(text).toContain(`\n  ${createLine('/d', false)}\n  ${connectLine({ host: '127.0.0.1', port: 3 })}\n`);
});

test('the welcome tells of a broker elsewhere, and of what is not served', () => {
  const endpoints = {
    ...{ grpc: '127.0.0.1:1', admin: 'http://127.0.0.1:2', mqtt: '127.0.0.1:3', mqtts: '127.0.0.1:4' },
    ...{ upstream: 'mqtts://b:1', token: '/d/operator.token', dataDir: '/d' },
  };
  const text = welcome(endpoints, false);
  expect(text).toContain('\n  broker    mqtts://b:1, which takes the links of devices\n  not served: HTTPS and CoAP');
  expect(text).not.toMatch(/ingress|undefined|HTTPS {5}/);
  const all = { ...endpoints, https: 'https://127.0.0.1:6', coaps: 'coaps://127.0.0.1:7' };
  expect(welcome(all, false)).not.toContain('not served');
});
