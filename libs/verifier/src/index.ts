export { type Answer, type Question, type Trial, Verifier, type VerifierOptions } from './authenticate.ts';
export type { Derived, Handshake } from './derive.ts';
export type { RecordStats } from './records.ts';
export type { Session } from './sessions.ts';
export { type Minting, mintToken } from './tokens.ts';
export { NoDecision } from './waiting.ts';
