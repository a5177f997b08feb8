import { type KeyObject, X509Certificate } from 'node:crypto';
import { FatalAlert } from './alerts.ts';
import { Reader } from './bytes.ts';
import { isFitKey, isSignedBy } from './signatures.ts';

/** A leaf, a few intermediates and a root. */
const MAX_CHAIN = 8;

/** What a client shows: DER, leaf first, and the leaf's key. */
export type ClientCertificate = { readonly chain: readonly Buffer[]; readonly key: KeyObject };

/**
 * Reads a Certificate message (RFC 5246 7.4.6). Throws a DecodeError, HANDSHAKE_FAILURE when there is none, or
 * BAD_CERTIFICATE when the leaf is none or its key is not fit to sign.
 */
export function readClientCertificate(body: Buffer): ClientCertificate {
  const chain = readChain(body);
  const [leaf] = chain;
  if (leaf === undefined) throw new FatalAlert('HANDSHAKE_FAILURE', 'the client has no certificate');
  const key = publicKeyOf(leaf);
  if (key === undefined || !isFitKey(key)) throw new FatalAlert('BAD_CERTIFICATE', 'no certificate with a fit key');
  return { chain, key };
}

/**
 * Reads a CertificateVerify (RFC 5246 7.4.8): the key signed `messages`, all that went before. Throws a DecodeError,
 * or DECRYPT_ERROR when it did not.
 */
export function checkPossession(body: Buffer, key: KeyObject, messages: Buffer): void {
  const reader = new Reader(body);
  const scheme = reader.number(2);
  const signature = reader.vector(2);
  reader.end();
  if (!isSignedBy(scheme, key, messages, signature)) {
    throw new FatalAlert('DECRYPT_ERROR', 'the client does not hold the key of its certificate');
  }
}

function readChain(body: Buffer): Buffer[] {
  const reader = new Reader(body);
  const list = new Reader(reader.vector(3));
  reader.end();
  const chain: Buffer[] = [];
  while (list.left > 0) {
    if (chain.length === MAX_CHAIN) throw new FatalAlert('BAD_CERTIFICATE', 'the chain is too long');
    chain.push(list.vector(3));
  }
  return chain;
}

function publicKeyOf(der: Buffer): KeyObject | undefined {
  try {
    return new X509Certificate(der).publicKey;
  } catch {
    return undefined;
  }
}
