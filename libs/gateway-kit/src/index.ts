export { type AuthClient, connectAuth } from './auth-client.ts';
export type { ChangeWatcher } from './change-watcher.ts';
export type { ConnectionLimits } from './connection-limits.ts';
export type { Decision, Grant } from './decision.ts';
export { openGateway } from './gateway.ts';
export { type LimitFlags, type Limits, limitOptions, limitsOf } from './limits.ts';
export { limitConnections, listenOn } from './listen.ts';
export { type GatewayMetrics, gatewayMetrics } from './metrics.ts';
export type { CloseCause, Session, SessionTable } from './sessions.ts';
