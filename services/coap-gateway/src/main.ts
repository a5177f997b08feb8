import { createLog, runService, SettingsError } from '@latchkey/runtime';
import { readConfig } from './config.ts';
import { startCoapGateway } from './wire.ts';

try {
  const config = readConfig(process.argv.slice(2));
  const log = createLog({ service: 'coap-gateway', level: config.logLevel });
  await runService(log, () => startCoapGateway(config, log));
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  createLog({ service: 'coap-gateway', level: 'error' }).error({}, error.message);
  process.exitCode = 2;
}
