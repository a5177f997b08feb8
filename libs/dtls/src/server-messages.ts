import type { KeyObject } from 'node:crypto';
import { uint, vector } from './bytes.ts';
import { DTLS_1_0, DTLS_1_2, EXTENSION, HANDSHAKE } from './codes.ts';
import type { Randoms } from './key-schedule.ts';
import type { KeyShare } from './key-share.ts';
import { type Agreement, usesCertificate } from './negotiate.ts';
import type { Draft } from './outgoing.ts';
import { SCHEME_CODES, signWith } from './signatures.ts';

/** What the server's certificate is: DER, leaf first, and its key. */
export type ServerCertificate = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

/** What the server's first flight is made from. */
export type FlightInput = {
  readonly agreement: Agreement;
  readonly randoms: Randoms;
  /** The id that the client is to send; empty when it wants none. */
  readonly connectionId: Buffer;
  readonly keyShare: KeyShare | undefined;
  readonly certificate: ServerCertificate | undefined;
  readonly hasPointFormats: boolean;
  readonly hasSecureRenegotiation: boolean;
};

const NAMED_CURVE = 3;
const ECDSA_SIGN = 64;
const RSA_SIGN = 1;
const UNCOMPRESSED = uint(1, 0);
const EMPTY = Buffer.alloc(0);

/** The request for the cookie. It names DTLS 1.0, whatever is spoken then (RFC 6347 4.2.1). */
export function helloVerifyRequest(cookie: Uint8Array): Draft {
  return { type: HANDSHAKE.HELLO_VERIFY_REQUEST, body: Buffer.concat([uint(2, DTLS_1_0), vector(1, cookie)]) };
}

/** ServerHello to ServerHelloDone (RFC 5246 7.3; which of them: RFC 4279 2, RFC 5489 2, RFC 8422 2). */
export function serverFlight(input: FlightInput): Draft[] {
  const { agreement, certificate } = input;
  const hello = { type: HANDSHAKE.SERVER_HELLO, body: serverHello(input) };
  const done = { type: HANDSHAKE.SERVER_HELLO_DONE, body: EMPTY };
  // Plain PSK without an identity hint has no ServerKeyExchange (RFC 4279 2).
  if (agreement.suite.keyExchange === 'PSK') return [hello, done];
  const exchange = { type: HANDSHAKE.SERVER_KEY_EXCHANGE, body: serverKeyExchange(input) };
  if (!usesCertificate(agreement.suite)) return [hello, exchange, done];
  const chain = certificate?.chain.map((der) => vector(3, der)) ?? [];
  return [
    hello,
    { type: HANDSHAKE.CERTIFICATE, body: vector(3, ...chain) },
    exchange,
    { type: HANDSHAKE.CERTIFICATE_REQUEST, body: certificateRequest() },
    done,
  ];
}

function serverHello({ agreement, randoms, ...input }: FlightInput): Buffer {
  const { clientConnectionId, maxFragment, suite } = agreement;
  const extensions = [
    extension(EXTENSION.EXTENDED_MASTER_SECRET, agreement.hasExtendedMasterSecret && EMPTY),
    extension(EXTENSION.ENCRYPT_THEN_MAC, agreement.hasEncryptThenMac && EMPTY),
    extension(EXTENSION.RENEGOTIATION_INFO, input.hasSecureRenegotiation && vector(1)),
    extension(EXTENSION.POINT_FORMATS, suite.keyExchange !== 'PSK' && input.hasPointFormats && vector(1, UNCOMPRESSED)),
    extension(EXTENSION.CONNECTION_ID, clientConnectionId !== undefined && vector(1, input.connectionId)),
    extension(EXTENSION.MAX_FRAGMENT_LENGTH, maxFragment !== undefined && uint(1, maxFragment.code)),
  ].flat();
  // An empty session id: there is no resumption, so nothing outlives a revoked credential.
  const head = [uint(2, DTLS_1_2), randoms.server, vector(1), uint(2, suite.id), uint(1, 0)];
  return Buffer.concat([...head, ...(extensions.length > 0 ? [vector(2, ...extensions)] : [])]);
}

function extension(type: number, content: Buffer | false): Buffer[] {
  return content === false ? [] : [uint(2, type), vector(2, content)];
}

/** Parameters of RFC 8422 5.4; before them an empty hint (RFC 5489 2), or behind them the signature. */
function serverKeyExchange({ agreement, randoms, keyShare, certificate }: FlightInput): Buffer {
  if (keyShare === undefined) throw new Error('an ECDHE suite without a key share');
  const params = Buffer.concat([uint(1, NAMED_CURVE), uint(2, keyShare.group), vector(1, keyShare.publicKey)]);
  if (agreement.signatureScheme === undefined) return Buffer.concat([vector(2), params]);
  if (certificate === undefined) throw new Error('a certificate suite without a certificate');
  const signed = Buffer.concat([randoms.client, randoms.server, params]);
  const signature = signWith(agreement.signatureScheme, certificate.key, signed);
  return Buffer.concat([params, uint(2, agreement.signatureScheme), vector(2, signature)]);
}

/** Asks for a certificate of any authority: who may enter is decided elsewhere (RFC 5246 7.4.4). */
function certificateRequest(): Buffer {
  const schemes = SCHEME_CODES.map((code) => uint(2, code));
  return Buffer.concat([vector(1, uint(1, ECDSA_SIGN), uint(1, RSA_SIGN)), vector(2, ...schemes), vector(2)]);
}
