export { addressesOption, addressOption, numberOption, serviceCommand } from './command.ts';
export { Durations } from './durations.ts';
export { type Ready, type Running, runService } from './lifecycle.ts';
export {
  type Address,
  formatAddress,
  isLoopback,
  parseAddress,
  requireLoopback,
  SettingsError,
} from './listen.ts';
export { createLog, LOG_LEVELS, type Log, type LogLevel } from './log.ts';
export {
  Counter,
  createRegistry,
  Gauge,
  Histogram,
  type MetricsSnapshot,
  mergeMetrics,
  type Registry,
} from './metrics.ts';
export { stopPretenuring } from './pretenuring.ts';
