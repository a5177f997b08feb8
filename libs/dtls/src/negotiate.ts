import type { KeyObject } from 'node:crypto';
import { FatalAlert } from './alerts.ts';
import type { ClientHello } from './client-hello.ts';
import { DTLS_1_2 } from './codes.ts';
import { GROUPS } from './key-share.ts';
import { schemeFor } from './signatures.ts';
import type { Suite } from './suites.ts';

/** What a server can do. */
export type Abilities = {
  readonly suites: readonly Suite[];
  readonly hasPsk: boolean;
  /** The key of the server's certificate. */
  readonly certificateKey: KeyObject | undefined;
  readonly hasConnectionId: boolean;
};

/** What both sides will do. */
export type Agreement = {
  readonly suite: Suite;
  /** For ECDHE suites. */
  readonly group: number | undefined;
  /** How the server signs, for suites with certificates. */
  readonly signatureScheme: number | undefined;
  readonly hasExtendedMasterSecret: boolean;
  readonly hasEncryptThenMac: boolean;
  /** The id to address the client by; undefined when none is used in either direction. */
  readonly clientConnectionId: Buffer | undefined;
  /** Code and size that records keep to (RFC 6066 4). */
  readonly maxFragment: { readonly code: number; readonly bytes: number } | undefined;
};

/**
 * Takes the first suite of the server's that the client offers too and that all else is there for. Throws
 * PROTOCOL_VERSION or HANDSHAKE_FAILURE.
 */
export function negotiate(hello: ClientHello, abilities: Abilities): Agreement {
  // Versions count downwards: a greater number is an older version.
  if (hello.version > DTLS_1_2) throw new FatalAlert('PROTOCOL_VERSION', 'the client speaks DTLS 1.0 only');
  const group = groupFor(hello);
  const signatureScheme = schemeForHello(hello, abilities.certificateKey);
  const suite = abilities.suites.find((one) => isUsable(one, { hello, abilities, group, signatureScheme }));
  if (suite === undefined) throw new FatalAlert('HANDSHAKE_FAILURE', 'no common cipher suite');
  return {
    suite,
    group: suite.keyExchange === 'PSK' ? undefined : group,
    signatureScheme: usesCertificate(suite) ? signatureScheme : undefined,
    hasExtendedMasterSecret: hello.hasExtendedMasterSecret,
    // RFC 7366 3: it is answered for CBC suites only.
    hasEncryptThenMac: suite.cipher.mode === 'CBC_ENCRYPT_THEN_MAC',
    clientConnectionId: abilities.hasConnectionId ? hello.connectionId : undefined,
    maxFragment: maxFragmentOf(hello.maxFragmentLength),
  };
}

/** Whether both sides show certificates. */
export function usesCertificate({ keyExchange }: Suite): boolean {
  return keyExchange === 'ECDHE_ECDSA' || keyExchange === 'ECDHE_RSA';
}

type Offer = {
  readonly hello: ClientHello;
  readonly abilities: Abilities;
  readonly group: number | undefined;
  readonly signatureScheme: number | undefined;
};

function isUsable(suite: Suite, { hello, abilities, group, signatureScheme }: Offer): boolean {
  if (!hello.suites.includes(suite.id)) return false;
  // Without encrypt-then-MAC, CBC would be a padding oracle.
  if (suite.cipher.mode === 'CBC_ENCRYPT_THEN_MAC' && !hello.hasEncryptThenMac) return false;
  if (suite.keyExchange === 'PSK') return abilities.hasPsk;
  if (group === undefined) return false;
  if (suite.keyExchange === 'ECDHE_PSK') return abilities.hasPsk;
  const keyType = suite.keyExchange === 'ECDHE_ECDSA' ? 'ec' : 'rsa';
  return signatureScheme !== undefined && abilities.certificateKey?.asymmetricKeyType === keyType;
}

/** RFC 8422 4: a client that names no groups takes any. */
function groupFor({ groups }: ClientHello): number | undefined {
  return groups === undefined ? GROUPS.SECP256R1 : Object.values(GROUPS).find((group) => groups.includes(group));
}

/** RFC 5246 7.4.1.4.1: a client that names no schemes would take SHA-1, which is not spoken here. */
function schemeForHello({ signatureSchemes }: ClientHello, key: KeyObject | undefined): number | undefined {
  return key && signatureSchemes && schemeFor(key, signatureSchemes);
}

/** RFC 6066 4: 1 to 4 stand for 512 to 4096 bytes, anything else is an error. */
function maxFragmentOf(code: number | undefined): Agreement['maxFragment'] {
  if (code === undefined) return undefined;
  if (code < 1 || code > 4) throw new FatalAlert('ILLEGAL_PARAMETER', 'no such maximum fragment length');
  return { code, bytes: 2 ** (8 + code) };
}
