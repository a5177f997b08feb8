export type {
  Attempt,
  CertificateProof,
  CloseReason,
  DerivePsk,
  DtlsServerOptions,
  Failure,
  FailureReason,
  Peer,
  PskDerivation,
  PskProof,
  Refusal,
  Session,
  SessionHandlers,
  Verdict,
} from './api.ts';
export type { MasterSeed } from './key-schedule.ts';
export { DEFAULT_LIMITS, type Limits } from './limits.ts';
export { deriveFromKeys, type FindKey } from './psk.ts';
export { type Counters, type DtlsServer, listenDtls } from './server.ts';
export type { ServerCertificate } from './server-messages.ts';
export { type PrfHash, SUITES, type Suite } from './suites.ts';
export { type Address, listenUdp } from './transport.ts';
