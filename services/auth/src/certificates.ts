import type { X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { timestampFromDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import { status } from '@grpc/grpc-js';
import {
  CAS_KEY,
  type Ca,
  caIdOf,
  caIn,
  DISABLED_KEYS,
  type DisabledCertificate,
  deleteCa,
  disableCa,
  disableCertificate,
  disabledKeyOf,
  enableCertificate,
  parseCertificate,
  parseFingerprint,
  parsePem,
  registerCa,
  type TrustSet,
  verifyCa,
} from '@latchkey/credential';
import {
  CaSchema,
  CaStatus,
  type CertificateService,
  type DisableCertificateRequest,
  type ListCasRequest,
  type ListDisabledCertificatesRequest,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import type { Store } from '@latchkey/store';
import { type CaWithCrl, deleteCrl, forgetCrl, setCrl, toCrl, withCrls } from './crls.ts';
import type { Ports } from './ports.ts';
import { changeTrust, DISABLED, TRUST_UPDATED } from './trust-writes.ts';

/** CAs or certificates a page when the request does not say. */
const PAGE_SIZE = 100;

/** 128 bits, which nobody has signed before; they take 32 of the 64 characters of a common name (RFC 5280 appendix A.1). */
const VERIFY_CODE_BYTES = 16;

/** Trust sets read at a time while disabled certificates are listed. */
const SETS_AT_ONCE = 16;

/** CertificateService, all of it. */
export function certificateService(ports: Ports): ServiceImpl<typeof CertificateService> {
  const { store } = ports;
  return {
    registerCa: ({ certificate }) => register(ports, readPem(certificate, 'certificate')),
    verifyCa: async ({ caId, verificationCertificate }) => {
      const certificate = readPem(verificationCertificate, 'verification_certificate');
      const proof = { certificate, nowMs: ports.clock.now() };
      const set = await changeTrust(store, CAS_KEY, TRUST_UPDATED, (cas) => verifyCa(cas, caId, proof));
      return { ca: await caOf(store, set, caId) };
    },
    listCas: (request) => listCas(store, request),
    disableCa: async ({ caId }) => ({
      ca: await caOf(store, await changeTrust(store, CAS_KEY, DISABLED, (set) => disableCa(set, caId)), caId),
    }),
    deleteCa: ({ caId }) => remove(store, caId),
    setCrl: async (request) => ({ ca: toCa(await setCrl(ports, request)) }),
    deleteCrl: async ({ caId }) => {
      await deleteCrl(store, caId);
      return {};
    },
    disableCertificate: (request) => disable(ports, request),
    enableCertificate: async (request) => {
      const fingerprint = readFingerprint(request.fingerprint);
      const enable = (set: TrustSet) => enableCertificate(set, fingerprint);
      await changeTrust(store, disabledKeyOf(fingerprint), TRUST_UPDATED, enable);
      return {};
    },
    listDisabledCertificates: (request) => listDisabled(store, request),
  };
}

async function register({ store, clock, random }: Ports, certificate: X509Certificate) {
  const verifyCode = Buffer.from(random(VERIFY_CODE_BYTES)).toString('hex');
  const ca = { certificate, verifyCode, nowMs: clock.now() };
  const set = await changeTrust(store, CAS_KEY, TRUST_UPDATED, (cas) => registerCa(cas, ca));
  return { ca: await caOf(store, set, caIdOf(certificate)) };
}

/** The CRL goes last: a CA that is trusted anew meanwhile keeps it. A CRL that an end in between leaves goes on revoking. */
async function remove(store: Store, caId: string) {
  let known: Ca | undefined;
  await changeTrust(store, CAS_KEY, TRUST_UPDATED, (cas) => {
    known = caIn(cas, caId);
    return deleteCa(cas, caId);
  });
  if (known !== undefined) await forgetCrl(store, known);
  return {};
}

async function disable({ store, clock }: Ports, { fingerprint: text, note }: DisableCertificateRequest) {
  const fingerprint = readFingerprint(text);
  const certificate = { fingerprint, disabledAtMs: clock.now(), note };
  await changeTrust(store, disabledKeyOf(fingerprint), DISABLED, (set) => disableCertificate(set, certificate));
  return {};
}

async function listCas(store: Store, { pageSize, pageToken }: ListCasRequest) {
  const { cas = [] } = (await store.readTrust(CAS_KEY)) ?? {};
  const rest = cas.toSorted((a, b) => (a.caId < b.caId ? -1 : 1)).filter(({ caId }) => caId > pageToken);
  const page = rest.slice(0, sizeOf(pageSize));
  const shown = (await withCrls(store, page)).map(toCa);
  return { cas: shown, nextPageToken: page.length < rest.length ? (page.at(-1)?.caId ?? '') : '' };
}

async function listDisabled(store: Store, { pageSize, pageToken }: ListDisabledCertificatesRequest) {
  const after = pageToken === '' ? '' : readPageToken(pageToken);
  const size = sizeOf(pageSize);
  const found: DisabledCertificate[] = [];
  // One more than asked for tells whether there is a next page.
  for (let at = after === '' ? 0 : DISABLED_KEYS.indexOf(disabledKeyOf(after)); at < DISABLED_KEYS.length; ) {
    const sets = await Promise.all(DISABLED_KEYS.slice(at, at + SETS_AT_ONCE).map((key) => store.readTrust(key)));
    found.push(...sets.flatMap((set) => set?.disabled ?? []).filter(({ fingerprint }) => fingerprint > after));
    if (found.length > size) break;
    at += SETS_AT_ONCE;
  }
  const page = found.slice(0, size);
  return {
    certificates: page.map(({ fingerprint, disabledAtMs, note }) => ({
      ...{ fingerprint, note },
      disabledAt: timestampFromMs(disabledAtMs),
    })),
    nextPageToken: found.length > size ? (page.at(-1)?.fingerprint ?? '') : '',
  };
}

function sizeOf(pageSize: number): number {
  return pageSize === 0 ? PAGE_SIZE : pageSize;
}

async function caOf(store: Store, set: TrustSet, caId: string) {
  const ca = caIn(set, caId);
  const [known] = await withCrls(store, ca === undefined ? [] : [ca]);
  if (known === undefined) throw new Error('the CA that was written is there');
  return toCa(known);
}

function toCa({ ca: { caId, der, status: standing, verifyCode }, crl }: CaWithCrl) {
  const certificate = parseCertificate(der);
  const ca = create(CaSchema, {
    caId,
    subject: ((certificate?.subject as string | undefined) ?? '').replaceAll('\n', ', '),
    certificate: certificate?.toString() ?? '',
    status: CaStatus[standing],
    verifyCode: standing === 'UNVERIFIED' ? verifyCode : '',
  });
  if (certificate !== undefined) ca.notAfter = timestampFromDate(certificate.validToDate);
  if (crl !== undefined) ca.crl = toCrl(crl);
  return ca;
}

function readPem(text: string, field: string): X509Certificate {
  const certificate = parsePem(text);
  if (certificate === undefined) throw new RpcError(status.INVALID_ARGUMENT, `${field}: not one certificate in PEM`);
  return certificate;
}

/** Validation lets nothing else through. */
function readFingerprint(text: string): string {
  const fingerprint = parseFingerprint(text);
  if (fingerprint === undefined) throw new Error('a validated fingerprint is none');
  return fingerprint;
}

function readPageToken(text: string): string {
  const after = parseFingerprint(text);
  if (after === undefined) throw new RpcError(status.INVALID_ARGUMENT, 'page_token: not one of this service');
  return after;
}
