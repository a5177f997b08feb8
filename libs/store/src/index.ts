export { type DerivedKeys, deriveKeys } from './derived-keys.ts';
export { type EmbeddedOptions, openEmbeddedStore } from './embedded/embedded.ts';
export { checkKeys, forgetKey, type KeptKey, KeyMismatch, keptKeys } from './key-check.ts';
export {
  checkValue,
  generateKeyLine,
  type Keyring,
  KeyringError,
  MAX_KEYS,
  parseKeyring,
  SealingError,
  type SealingKey,
} from './keyring.ts';
export {
  HEADER_BYTES,
  packState,
  packTrust,
  RECORD_FORMAT,
  RECORD_MAX_BYTES,
  RecordError,
  revisionOf,
  sealedUnder,
  unpackRecord,
  unpackTrust,
  withHeader,
} from './record.ts';
export {
  CHANGE_KINDS,
  type Change,
  type ChangeKind,
  type ChangeListener,
  type Figures,
  type Lease,
  type LogPlace,
  type LogSlice,
  PAGE_MAX,
  type Page,
  REPLAY_WINDOW_MS,
  type RecordKey,
  type Replay,
  type SessionEffect,
  type Store,
  StoreUnavailable,
  type TrustRecord,
  type TrustWrite,
  type TrustWriteResult,
  type Write,
  type WriteResult,
} from './store.ts';
export { USE_BLIND_MS, USE_REPORT_EVERY_MS, USE_SILENCE_MS, type Use, type UseReport } from './uses.ts';
