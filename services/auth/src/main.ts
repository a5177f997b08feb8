import cluster from 'node:cluster';
import { systemClock } from '@latchkey/kernel';
import { createLog, runService, SettingsError } from '@latchkey/runtime';
import { readConfig } from './config.ts';
import { startAuth } from './wire.ts';
import { WORKER_VARIABLE } from './workers/crew.ts';
import { takeSeat } from './workers/seat.ts';
import { outliveStarter, startWorkers } from './workers/start.ts';

const argv = process.argv.slice(2);
try {
  const config = readConfig(argv, process.env['LATCHKEY_SEALING_KEYS']);
  const worker = cluster.worker && Number(process.env[WORKER_VARIABLE]);
  const log = createLog({ service: 'auth', level: config.logLevel, worker });
  if (cluster.worker !== undefined && worker !== undefined) {
    outliveStarter(cluster.worker);
    const seat = takeSeat(worker, process, log);
    await runService(log, () => startAuth(config, log, seat), seat.ready);
  } else if (config.workers > 1) {
    const { monotonic } = systemClock;
    await runService(log, () => startWorkers({ size: config.workers, argv, log, monotonic }));
  } else {
    await runService(log, () => startAuth(config, log));
  }
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  createLog({ service: 'auth', level: 'error' }).error({}, error.message);
  process.exitCode = 2;
}
