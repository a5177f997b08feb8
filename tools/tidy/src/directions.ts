/** Which packages of the house a package may use: its code, and beyond that its tests. */
export type Allowed = { readonly code: readonly string[]; readonly tests?: readonly string[] };

/**
 * The closed lists: a package or an edge that does not stand here is a problem. Gateways are outside the trust line:
 * they never see a store or a device's secret.
 */
export const DIRECTIONS: Readonly<Record<string, Allowed>> = {
  'libs/kernel': { code: [] },
  'libs/credential': { code: ['kernel'] },
  'libs/dtls': { code: [] },
  'libs/protocol': { code: [] },
  'libs/store': { code: ['kernel', 'credential'] },
  'libs/store-redis': { code: ['kernel', 'credential', 'store'] },
  'libs/verifier': { code: ['kernel', 'credential', 'store'] },
  'libs/rpc': { code: ['kernel', 'protocol'] },
  'libs/runtime': { code: ['kernel'] },
  'libs/gateway-kit': { code: ['kernel', 'protocol', 'rpc', 'runtime'] },
  'services/auth': {
    code: ['kernel', 'credential', 'store', 'store-redis', 'verifier', 'protocol', 'rpc', 'runtime'],
  },
  'services/coap-gateway': { code: ['kernel', 'protocol', 'dtls', 'gateway-kit', 'runtime'] },
  'services/https-gateway': { code: ['kernel', 'protocol', 'gateway-kit', 'runtime'] },
  'services/mqtt-gateway': { code: ['kernel', 'protocol', 'gateway-kit', 'runtime'] },
  'tools/bench': {
    code: [
      'kernel',
      'credential',
      'store',
      'store-redis',
      'verifier',
      'protocol',
      'rpc',
      'gateway-kit',
      'dtls',
      'runtime',
    ],
  },
  'tools/build': { code: [] },
  'tools/chaos': { code: ['protocol', 'store-redis'] },
  'tools/cli': { code: ['kernel', 'protocol'] },
  'tools/e2e': { code: ['kernel', 'store-redis'] },
  'tools/start': { code: ['kernel', 'runtime'] },
  'tools/tidy': { code: [] },
};

/** Packages that few may import, whatever else is allowed: folders and files that may. */
export const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
  '@latchkey/store-redis': [
    'services/auth/src/wire.ts',
    'services/auth/src/test-stores.ts',
    'tools/bench/',
    'tools/chaos/',
    'tools/e2e/',
  ],
  redis: ['libs/store-redis/', 'tools/bench/src/redis-client.ts'],
};
