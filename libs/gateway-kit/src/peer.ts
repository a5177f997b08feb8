import { TLSSocket } from 'node:tls';

/** Certificates passed on: what CertificateProof takes. A longer chain is cut, the leaf stays. */
const MAX_CHAIN = 8;

/** The client certificate of a TLS connection and what was sent with it, DER, leaf first; empty: none. */
export function peerChain(connection: unknown): readonly Uint8Array[] {
  if (!(connection instanceof TLSSocket)) return [];
  const chain: Uint8Array[] = [];
  let certificate = connection.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** The other end's address without port; IPv4 in its own form, though it came over an IPv6 socket. */
export function sourceOf(connection: unknown): string {
  const address = connection !== null && typeof connection === 'object' && 'remoteAddress' in connection;
  return address ? String(connection.remoteAddress ?? '').replace(/^::ffff:(?=[0-9.]+$)/, '') : '';
}
