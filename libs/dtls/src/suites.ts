/** How the keys are agreed on. */
export type KeyExchange = 'ECDHE_PSK' | 'ECDHE_ECDSA' | 'ECDHE_RSA' | 'PSK';

/** The hash of the pseudo-random function. */
export type PrfHash = 'sha256' | 'sha384';

/** An AEAD cipher: nonce = IV and an explicit part, or IV xor record number when there is none (RFC 5288, 6655, 7905). */
export type AeadCipher = {
  readonly mode: 'AEAD';
  readonly algorithm: string;
  readonly keyBytes: number;
  readonly ivBytes: number;
  readonly explicitNonceBytes: 0 | 8;
  readonly tagBytes: number;
};

/** AES-CBC with HMAC-SHA256, encrypt-then-MAC only (RFC 7366). */
export type CbcCipher = {
  readonly mode: 'CBC_ENCRYPT_THEN_MAC';
  readonly algorithm: string;
  readonly keyBytes: number;
  readonly ivBytes: 0;
  readonly macBytes: number;
};

/** A cipher suite. */
export type Suite = {
  readonly id: number;
  /** As IANA names it. */
  readonly name: string;
  readonly keyExchange: KeyExchange;
  readonly cipher: AeadCipher | CbcCipher;
  readonly prf: PrfHash;
};

function aead(algorithm: string, keyBytes: number, tagBytes: number): AeadCipher {
  return { mode: 'AEAD', algorithm, keyBytes, ivBytes: 4, explicitNonceBytes: 8, tagBytes };
}

const AES_128_GCM = aead('aes-128-gcm', 16, 16);
const AES_256_GCM = aead('aes-256-gcm', 32, 16);
const AES_128_CCM = aead('aes-128-ccm', 16, 16);
const AES_256_CCM = aead('aes-256-ccm', 32, 16);
const AES_128_CCM_8 = aead('aes-128-ccm', 16, 8);
const AES_256_CCM_8 = aead('aes-256-ccm', 32, 8);
const CHACHA20: AeadCipher = { ...aead('chacha20-poly1305', 32, 16), ivBytes: 12, explicitNonceBytes: 0 };
const AES_128_CBC: CbcCipher = {
  mode: 'CBC_ENCRYPT_THEN_MAC',
  algorithm: 'aes-128-cbc',
  keyBytes: 16,
  ivBytes: 0,
  macBytes: 32,
};

type Row = readonly [id: number, name: string, cipher: Suite['cipher'], prf?: PrfHash];

function suites(keyExchange: KeyExchange, rows: readonly Row[]): Suite[] {
  return rows.map(([id, name, cipher, prf = 'sha256']) => ({ id, name, keyExchange, cipher, prf }));
}

/**
 * All suites in the order in which they are preferred: forward secrecy first, tags of 8 bytes and CBC last of their
 * kind (RFC 4279, 5289, 5487, 6655, 7251, 7905, 8442; CBC: RFC 5487 with RFC 7366).
 */
export const SUITES: readonly Suite[] = [
  ...suites('ECDHE_PSK', [
    [0xd001, 'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', AES_128_GCM],
    [0xd002, 'TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384', AES_256_GCM, 'sha384'],
    [0xccac, 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256', CHACHA20],
    [0xd005, 'TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256', AES_128_CCM],
    [0xd003, 'TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256', AES_128_CCM_8],
  ]),
  ...suites('ECDHE_ECDSA', [
    [0xc02b, 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', AES_128_GCM],
    [0xc02c, 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', AES_256_GCM, 'sha384'],
    [0xcca9, 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', CHACHA20],
    [0xc0ac, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM', AES_128_CCM],
    [0xc0ae, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8', AES_128_CCM_8],
  ]),
  ...suites('ECDHE_RSA', [
    [0xc02f, 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', AES_128_GCM],
    [0xc030, 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', AES_256_GCM, 'sha384'],
    [0xcca8, 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', CHACHA20],
  ]),
  ...suites('PSK', [
    [0x00a8, 'TLS_PSK_WITH_AES_128_GCM_SHA256', AES_128_GCM],
    [0x00a9, 'TLS_PSK_WITH_AES_256_GCM_SHA384', AES_256_GCM, 'sha384'],
    [0xccab, 'TLS_PSK_WITH_CHACHA20_POLY1305_SHA256', CHACHA20],
    [0xc0a4, 'TLS_PSK_WITH_AES_128_CCM', AES_128_CCM],
    [0xc0a5, 'TLS_PSK_WITH_AES_256_CCM', AES_256_CCM],
    [0xc0a8, 'TLS_PSK_WITH_AES_128_CCM_8', AES_128_CCM_8],
    [0xc0a9, 'TLS_PSK_WITH_AES_256_CCM_8', AES_256_CCM_8],
    [0x00ae, 'TLS_PSK_WITH_AES_128_CBC_SHA256', AES_128_CBC],
  ]),
];

/** The suites of these names, in this order. Throws a RangeError on a name that is none of `SUITES`. */
export function suitesNamed(names: readonly string[]): Suite[] {
  return names.map((name) => {
    const suite = SUITES.find((one) => one.name === name);
    if (suite === undefined) throw new RangeError(`no such cipher suite: ${name}`);
    return suite;
  });
}
