import { join } from 'node:path';
import { launch } from './launch.ts';
import { createLog } from './log.ts';
import { PROJECT_DIR, readSettings } from './settings.ts';
import { listenToSignals } from './signals.ts';

const signals = listenToSignals(process);
const settings = readSettings(process.argv);
const now = () => Date.now();
// A reader of the log that went away must not take the services with it.
process.stderr.on('error', () => undefined);
process.exitCode = await launch(settings, {
  scripts: {
    auth: join(PROJECT_DIR, 'services/auth/src/main.ts'),
    mqtt: join(PROJECT_DIR, 'services/mqtt-gateway/src/main.ts'),
    https: join(PROJECT_DIR, 'services/https-gateway/src/main.ts'),
    coap: join(PROJECT_DIR, 'services/coap-gateway/src/main.ts'),
  },
  log: createLog({ json: settings.json, write: (text) => process.stderr.write(text), now }),
  print: (text) => process.stdout.write(text),
  now,
  signals,
});
