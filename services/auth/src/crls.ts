import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import {
  CAS_KEY,
  type Ca,
  type Crl,
  caIn,
  crlIn,
  crlKeyOf,
  dropCrl,
  parseCertificate,
  refuse,
  type TrustKey,
  takeCrl,
} from '@latchkey/credential';
import { CrlSchema, type SetCrlRequest } from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import type { Store } from '@latchkey/store';
import type { Ports } from './ports.ts';
import { accepted } from './request.ts';
import { changeTrust, DISABLED, TRUST_UPDATED } from './trust-writes.ts';

/** Sets of CRLs that are read at a time. */
const SETS_AT_ONCE = 16;

/** A CA, and the CRL that is kept of it. */
export type CaWithCrl = { readonly ca: Ca; readonly crl: Crl | undefined };

/** Takes in the CRL of a CA, and answers both; one whose CA is deleted meanwhile is not kept. Throws an RpcError. */
export async function setCrl({ store, clock }: Ports, { caId, crl: bytes }: SetCrlRequest): Promise<CaWithCrl> {
  const ca = await existingCa(store, caId);
  if (ca.status === 'UNVERIFIED') accepted(refuse('CA_UNVERIFIED'));
  const certificate = parseCertificate(ca.der);
  const key = keyOf(ca);
  if (certificate === undefined || key === undefined) throw new RpcError(status.INTERNAL, 'the CA cannot be read');
  const crl = { ca: certificate, bytes, nowMs: clock.now() };
  await holdCrl(store, key, caId);
  const set = await changeTrust(store, key, DISABLED, (before) => takeCrl(before, crl));
  await forgetCrl(store, ca);
  return { ca: await existingCa(store, caId), crl: crlIn(set, caId) };
}

/**
 * Forgets the CRL of a CA that was deleted. It stays when the CA is registered: the CAs are read after the CRLs, whose
 * revision the write expects, so that a CRL which `setCrl` answered for since then is not taken away.
 */
export async function forgetCrl(store: Store, ca: Ca): Promise<void> {
  const key = keyOf(ca);
  if (key === undefined) return;
  await changeTrust(store, key, TRUST_UPDATED, async (set) => {
    if (crlIn(set, ca.caId) === undefined) return set;
    const cas = await store.readTrust(CAS_KEY);
    return cas && caIn(cas, ca.caId) ? set : dropCrl(set, ca.caId);
  });
}

/**
 * Gives the CRLs another revision, so that who found the CA deleted before it was registered anew does not take away a CRL
 * that stays as it is. A conflict is as good: then another one has.
 */
async function holdCrl(store: Store, key: TrustKey, caId: string): Promise<void> {
  const set = await store.readTrust(key);
  if (set && crlIn(set, caId)) await store.writeTrust({ key, expectedRevision: set.revision, set, ...TRUST_UPDATED });
}

/** Forgets the CRL of a CA. Throws an RpcError. */
export async function deleteCrl(store: Store, caId: string): Promise<void> {
  const key = keyOf(await existingCa(store, caId));
  if (key === undefined) accepted(refuse('NO_CRL'));
  else await changeTrust(store, key, TRUST_UPDATED, (set) => dropCrl(set, caId));
}

/** The CAs with their CRLs, in their order. */
export async function withCrls(store: Pick<Store, 'readTrust'>, cas: readonly Ca[]): Promise<readonly CaWithCrl[]> {
  const keys = [...new Set(cas.map(keyOf))].filter((key) => key !== undefined);
  const crls = new Map<string, Crl>();
  for (let at = 0; at < keys.length; at += SETS_AT_ONCE) {
    const sets = await Promise.all(keys.slice(at, at + SETS_AT_ONCE).map((key) => store.readTrust(key)));
    for (const crl of sets.flatMap((set) => set?.crls ?? [])) crls.set(crl.caId, crl);
  }
  return cas.map((ca) => ({ ca, crl: crls.get(ca.caId) }));
}

/** What operators see of a CRL. */
export function toCrl({ number, thisUpdateMs, nextUpdateMs, revoked }: Crl) {
  return create(CrlSchema, {
    number: number?.toString() ?? '',
    thisUpdate: timestampFromMs(thisUpdateMs),
    nextUpdate: timestampFromMs(nextUpdateMs),
    revokedCount: revoked.length,
  });
}

async function existingCa(store: Store, caId: string): Promise<Ca> {
  const set = await store.readTrust(CAS_KEY);
  const ca = set && caIn(set, caId);
  if (ca === undefined) throw new RpcError(status.NOT_FOUND, 'there is no such CA');
  return ca;
}

function keyOf({ der }: Ca): TrustKey | undefined {
  const certificate = parseCertificate(der);
  return certificate && crlKeyOf(certificate);
}
