import { createLog, runService, SettingsError } from '@latchkey/runtime';
import { readConfig } from './config.ts';
import { startHttpsGateway } from './wire.ts';

try {
  const config = readConfig(process.argv.slice(2));
  const log = createLog({ service: 'https-gateway', level: config.logLevel });
  await runService(log, () => startHttpsGateway(config, log));
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  createLog({ service: 'https-gateway', level: 'error' }).error({}, error.message);
  process.exitCode = 2;
}
