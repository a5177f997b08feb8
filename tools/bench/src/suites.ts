import { mqttSuite } from './mqtt.ts';
import type { Suite } from './plan.ts';
import { resetSuite } from './reset.ts';
import { streamSuite } from './stream.ts';
import { unarySuite } from './unary.ts';
import { verifySuite } from './verify.ts';

/** All suites, in the order in which they run. */
export const SUITES: Readonly<Record<string, Suite>> = {
  verify: verifySuite,
  unary: unarySuite,
  stream: streamSuite,
  reset: resetSuite,
  mqtt: mqttSuite,
};
