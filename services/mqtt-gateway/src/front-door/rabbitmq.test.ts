import { describe } from 'vitest';
import { brokerSuite, MQTT5, MQTT31, MQTT311, TIMEOUT_MS } from './test-broker-suite.ts';
import { rabbitmq } from './test-brokers.ts';

// Debian's RabbitMQ does not speak MQTT 5.
describe('RabbitMQ over mutual TLS', { timeout: TIMEOUT_MS }, () =>
  brokerSuite(rabbitmq, { speaks: [MQTT31, MQTT311], not: [MQTT5] }),
);
