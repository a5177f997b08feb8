import { createLog, runService, SettingsError } from '@latchkey/runtime';
import { readConfig } from './config.ts';
import { startMqttGateway } from './wire.ts';

try {
  const config = readConfig(process.argv.slice(2), process.env['LATCHKEY_UPSTREAM_PASSWORD']);
  const log = createLog({ service: 'mqtt-gateway', level: config.logLevel });
  await runService(log, () => startMqttGateway(config, log));
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  createLog({ service: 'mqtt-gateway', level: 'error' }).error({}, error.message);
  process.exitCode = 2;
}
