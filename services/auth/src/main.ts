import { createLog, runService, SettingsError } from '@latchkey/runtime';
import { readConfig } from './config.ts';
import { startAuth } from './wire.ts';

try {
  const config = readConfig(process.argv.slice(2), process.env['LATCHKEY_SEALING_KEYS']);
  const log = createLog({ service: 'auth', level: config.logLevel });
  await runService(log, () => startAuth(config, log));
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  createLog({ service: 'auth', level: 'error' }).error({}, error.message);
  process.exitCode = 2;
}
