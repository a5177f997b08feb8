export { type AuthClient, connectAuth } from './auth-client.ts';
export { ChangeWatcher } from './change-watcher.ts';
export type { Decision, Grant } from './decision.ts';
export { listenOn } from './listen.ts';
export { type GatewayMetrics, gatewayMetrics } from './metrics.ts';
export { metricsListener } from './metrics-listener.ts';
export { RecentClosings } from './recent-closings.ts';
export { type CloseCause, type Session, SessionTable } from './sessions.ts';
