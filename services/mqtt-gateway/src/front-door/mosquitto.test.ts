import { describe } from 'vitest';
import { brokerSuite, MQTT5, MQTT31, MQTT311, TIMEOUT_MS } from './test-broker-suite.ts';
import { mosquitto } from './test-brokers.ts';

describe('Mosquitto over mutual TLS', { timeout: TIMEOUT_MS }, () =>
  brokerSuite(() => mosquitto(true), { speaks: [MQTT311, MQTT5] }),
);

describe('Mosquitto on the same machine', { timeout: TIMEOUT_MS }, () =>
  brokerSuite(() => mosquitto(false), { speaks: [MQTT31, MQTT311, MQTT5] }),
);
