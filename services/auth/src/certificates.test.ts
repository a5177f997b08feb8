import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { crlOf, type Identity, issue, twinOf, type Wish } from '@latchkey/credential/testing';
import {
  AuthenticateRequestSchema,
  AuthenticationService,
  CaStatus,
  ChangeKind,
  CheckSessionsRequestSchema,
  DenyReason,
  type Granted,
  Protocol,
  SessionEffect,
  SessionStanding,
  Slot,
  WatchChangesRequestSchema,
  type WatchChangesResponse,
} from '@latchkey/protocol/v1';
import { serverStream, unaryMethod } from '@latchkey/rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Service, STORES, startService } from './test-stores.ts';

const DAY_MS = 86_400_000;
const DEADLINE_MS = 5_000;
let service: Service;
const PRIMARY = `slot ${Slot.PRIMARY}`;
const { CERTIFICATE_DISABLED: DISABLED, CERTIFICATE_UNTRUSTED: UNTRUSTED } = DenyReason;
let number = 0;
/** A name that no other test has. */
const fresh = () => {
  number += 1;
  return `pump_${number}`;
};
const made = (name: string, wish: Wish = {}) =>
  issue(name, { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + DAY_MS, ...wish });
const pem = ({ certificate }: Identity) => certificate.toString();
const sha256 = ({ certificate }: Identity) => certificate.fingerprint256.replaceAll(':', '').toLowerCase();
const sha1 = ({ certificate }: Identity) => certificate.fingerprint.replaceAll(':', '').toLowerCase();
const refusal = async (call: Promise<unknown>) => {
  const { code, rawMessage } = ConnectError.from(
    await call.then(
      () => 'not refused',
      (error: unknown) => error,
    ),
  );
  return `${Code[code]}: ${rawMessage}`;
};
const registered = async (ca: Identity) => {
  const response = await service.clients.certificates.registerCa({ certificate: pem(ca) });
  if (response.ca === undefined) throw new Error('it was registered');
  return response.ca;
};
const verify = async (ca: Identity, name: string, wish: Wish = {}) => {
  const verificationCertificate = pem(await made(name, { issuer: ca, ...wish }));
  return service.clients.certificates.verifyCa({ caId: sha256(ca), verificationCertificate });
};
/** A CA that is trusted. */
const trusted = async () => {
  const ca = await made(fresh(), { ca: true });
  await verify(ca, (await registered(ca)).verifyCode);
  return ca;
};
const pinned = (deviceId: string, value: string, requireTrustedCa = false) =>
  service.clients.devices.createDevice({
    ...{ deviceId, requireTrustedCa },
    primary: { case: 'fingerprint', value: { kind: { case: 'value', value } } },
  });
const armed = (deviceId: string) =>
  service.clients.devices.createDevice({
    deviceId,
    primary: { case: 'fingerprint', value: { kind: { case: 'trustOnFirstUse', value: true } } },
  });
const authenticate = async (deviceId: string, chain: readonly Identity[], at = service) => {
  const ders = chain.map(({ der }) => Uint8Array.from(der));
  const proof = { kind: { case: 'certificate' as const, value: { chain: ders } } };
  const request = create(AuthenticateRequestSchema, { deviceId, protocol: Protocol.MQTT, proof });
  return (await at.clients.authenticate(request, DEADLINE_MS)).decision;
};
/** The slot that it was granted on, or why it was denied. */
const decide = async (deviceId: string, chain: readonly Identity[], at = service) => {
  const decision = await authenticate(deviceId, chain, at);
  return decision.case === 'granted' ? `slot ${decision.value.slot}` : decision.value?.reason;
};
const granted = async (deviceId: string, chain: readonly Identity[]): Promise<Granted> => {
  const decision = await authenticate(deviceId, chain);
  if (decision.case !== 'granted') throw new Error(`denied: ${decision.value?.reason}`);
  return decision.value;
};
/** What becomes of the session that a grant opened. */
const standing = async (deviceId: string, { credentialId, revision, basis }: Granted, at = service) => {
  const check = unaryMethod(at.clients.channel, AuthenticationService.method.checkSessions, Date.now);
  const sessions = [{ deviceId, credentialId, revision, basis }];
  return (await check(create(CheckSessionsRequestSchema, { sessions }), DEADLINE_MS)).standings;
};

describe.each(STORES)('over the %s store', (kind) => {
  beforeAll(async () => {
    service = await startService(kind);
  });
  afterAll(() => service.stop());

  test('a CA is registered, proven, listed, disabled, registered anew and forgotten', async () => {
    const { certificates } = service.clients;
    const ca = await made(fresh(), { ca: true });
    const first = await registered(ca);
    expect(first).toMatchObject({ caId: sha256(ca), subject: ca.certificate.subject, status: CaStatus.UNVERIFIED });
    expect(first.verifyCode).toMatch(/^[0-9a-f]{32}$/);
    expect(await registered(ca)).toEqual(first);
    expect(await refusal(verify(ca, 'another name'))).toMatch(/^FailedPrecondition: .*verify code/);
    expect(await refusal(verify(ca, first.verifyCode, { forged: true }))).toMatch(/^FailedPrecondition: .*not sign/);
    const verified = (await verify(ca, first.verifyCode)).ca;
    expect(verified).toMatchObject({ status: CaStatus.TRUSTED, verifyCode: '' });
    expect(await refusal(registered(ca))).toBe('AlreadyExists: the CA is trusted already');
    expect(await refusal(certificates.deleteCa({ caId: first.caId }))).toMatch(
      /^FailedPrecondition: .*disable it first/,
    );
    expect((await certificates.listCas({})).cas).toEqual([verified]);
    expect((await certificates.disableCa({ caId: first.caId })).ca?.status).toBe(CaStatus.DISABLED);
    expect(await refusal(verify(ca, first.verifyCode))).toMatch(/^FailedPrecondition: .*register it anew/);
    const again = await registered(ca);
    expect(again.verifyCode).not.toBe(first.verifyCode);
    await certificates.deleteCa({ caId: first.caId });
    expect((await certificates.listCas({})).cas).toEqual([]);
    expect(await refusal(certificates.disableCa({ caId: first.caId }))).toBe('NotFound: there is no such CA');
  });

  test('what is no CA certificate is refused', async () => {
    const { certificates } = service.clients;
    const [leaf, old] = [await made('leaf'), await made('old', { ca: true, notAfterMs: Date.now() - 1_000 })];
    expect(await refusal(registered(leaf))).toMatch(/^InvalidArgument: certificate: no CA/);
    expect(await refusal(registered(old))).toMatch(/^FailedPrecondition: .*expired/);
    for (const certificate of [
      'x',
      pem(leaf) + pem(old),
      '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
    ])
      expect(await refusal(certificates.registerCa({ certificate }))).toBe(
        'InvalidArgument: certificate: not one certificate in PEM',
      );
    expect(await refusal(certificates.registerCa({ certificate: 'x'.repeat(16_385) }))).toMatch(/^InvalidArgument/);
  });

  test('CAs are listed by pages', async () => {
    const { certificates } = service.clients;
    const names = await Promise.all(Array.from({ length: 5 }, () => made(fresh(), { ca: true })));
    for (const ca of names) await registered(ca);
    const first = await certificates.listCas({ pageSize: 2 });
    const second = await certificates.listCas({ pageSize: 2, pageToken: first.nextPageToken });
    const third = await certificates.listCas({ pageSize: 2, pageToken: second.nextPageToken });
    const listed = [first, second, third].flatMap(({ cas }) => cas.map(({ caId }) => caId));
    expect(listed).toEqual(names.map(sha256).toSorted());
    expect([first.cas.length, third.nextPageToken]).toEqual([2, '']);
    for (const caId of listed) await certificates.deleteCa({ caId });
  });

  test('trust on first use binds through a trusted CA, and lasts as long as the CA does', async () => {
    const ca = await made(fresh(), { ca: true });
    const deviceId = fresh();
    const leaf = await made(deviceId, { issuer: ca });
    await armed(deviceId);
    const { verifyCode } = await registered(ca);
    expect(await decide(deviceId, [leaf])).toBe(UNTRUSTED);
    await verify(ca, verifyCode);
    const grant = await granted(deviceId, [leaf]);
    expect(grant.activatedNow).toBe(true);
    const { device } = await service.clients.devices.getDevice({ deviceId });
    expect(device?.primary).toMatchObject({ fingerprint: sha256(leaf), boundByCa: sha256(ca) });
    expect(await decide(deviceId, [await made(deviceId, { issuer: ca })])).toBe(DenyReason.FINGERPRINT_MISMATCH);
    expect(await standing(deviceId, grant)).toEqual([SessionStanding.GOOD]);
    await service.clients.certificates.disableCa({ caId: sha256(ca) });
    expect(await decide(deviceId, [leaf])).toBe(UNTRUSTED);
    expect(await standing(deviceId, grant)).toEqual([SessionStanding.CLOSE]);
  });

  test('a disabled CA takes away what demands a chain, and nothing that an operator set', async () => {
    const ca = await trusted();
    const [strict, free] = [fresh(), fresh()];
    const leaf = await made(strict, { issuer: ca });
    await pinned(strict, sha256(leaf), true);
    await pinned(free, sha1(leaf));
    const grants = [await granted(strict, [leaf]), await granted(free, [leaf])] as const;
    await service.clients.certificates.disableCa({ caId: sha256(ca) });
    expect([await decide(strict, [leaf]), await decide(free, [leaf])]).toEqual([UNTRUSTED, PRIMARY]);
    expect(await standing(strict, grants[0])).toEqual([SessionStanding.CLOSE]);
    expect(await standing(free, grants[1])).toEqual([SessionStanding.GOOD]);
  });

  test('a disabled certificate is refused on every device, in either form, until it is enabled', async () => {
    const { certificates } = service.clients;
    const own = await made('self-signed');
    const [one, two] = [fresh(), fresh()];
    await pinned(one, sha1(own));
    await pinned(two, sha256(own));
    const grant = await granted(one, [own]);
    for (const fingerprint of [sha1(own).toUpperCase(), sha256(own)]) {
      await certificates.disableCertificate({ fingerprint, note: 'stolen' });
      await certificates.disableCertificate({ fingerprint, note: 'again' });
      expect([await decide(one, [own]), await decide(two, [own])]).toEqual([DISABLED, DISABLED]);
      expect(await standing(one, grant)).toEqual([SessionStanding.CLOSE]);
      const listed = (await certificates.listDisabledCertificates({})).certificates;
      expect(listed).toMatchObject([{ fingerprint: fingerprint.toLowerCase(), note: 'stolen' }]);
      await certificates.enableCertificate({ fingerprint });
      expect([await decide(one, [own]), await decide(two, [own])]).toEqual([PRIMARY, PRIMARY]);
    }
    expect(await refusal(certificates.enableCertificate({ fingerprint: sha1(own) }))).toMatch(/^NotFound/);
  });

  test('a disabled certificate is known by its twin, whose signature is another one', async () => {
    const ca = await trusted();
    const stolen = await made('stolen', { issuer: ca });
    const twin = { ...stolen, der: twinOf(stolen.der) ?? stolen.der };
    const [one, two] = [fresh(), fresh()];
    await armed(one);
    await armed(two);
    expect(await decide(one, [twin])).toBe(PRIMARY);
    const grant = await granted(one, [twin]);
    await service.clients.certificates.disableCertificate({ fingerprint: sha256(stolen) });
    expect([await decide(one, [twin]), await decide(two, [twin])]).toEqual([DISABLED, DISABLED]);
    expect(await standing(one, grant)).toEqual([SessionStanding.CLOSE]);
    await service.clients.certificates.enableCertificate({ fingerprint: sha256(stolen) });
  });

  test('an intermediate that is disabled refuses the chain that carries it', async () => {
    const ca = await trusted();
    const middle = await made('middle', { ca: true, issuer: ca });
    const deviceId = fresh();
    const leaf = await made(deviceId, { issuer: middle });
    await armed(deviceId);
    await service.clients.certificates.disableCertificate({ fingerprint: sha1(middle) });
    expect(await decide(deviceId, [leaf, middle])).toBe(DISABLED);
    await service.clients.certificates.enableCertificate({ fingerprint: sha1(middle) });
    expect(await decide(deviceId, [leaf, middle])).toBe(PRIMARY);
  });

  test('what the CRL of a CA revokes is refused, with its sessions, at the head of a chain and within', async () => {
    const { certificates } = service.clients;
    const ca = await trusted();
    const caId = sha256(ca);
    const middle = await made('middle', { ca: true, issuer: ca, serialNumber: '0a' });
    const [one, two, three] = [fresh(), fresh(), fresh()];
    const leaves = [await made(one, { issuer: ca }), await made(two, { issuer: ca, serialNumber: '0b' })] as const;
    const below = await made(three, { issuer: middle });
    await armed(one);
    // No CA is asked for where an operator has set the fingerprint; a CRL counts all the same.
    await pinned(two, sha1(leaves[1]));
    await armed(three);
    const ask = async () => [
      await decide(one, [leaves[0]]),
      await decide(two, [leaves[1]]),
      await decide(three, [below, middle]),
    ];
    const grants = [
      await granted(one, [leaves[0]]),
      await granted(two, [leaves[1]]),
      await granted(three, [below, middle]),
    ] as const;
    const stand = async () =>
      (await Promise.all([standing(one, grants[0]), standing(two, grants[1]), standing(three, grants[2])])).flat();
    const first = (await certificates.setCrl({ caId, crl: await crlOf(ca, [leaves[1]], Date.now() - 5_000) })).ca;
    expect(first?.crl).toMatchObject({ number: '', revokedCount: 1 });
    expect(await ask()).toEqual([PRIMARY, DISABLED, PRIMARY]);
    expect(await stand()).toEqual([SessionStanding.GOOD, SessionStanding.CLOSE, SessionStanding.GOOD]);
    const older = await crlOf(ca, [], Date.now() - 10_000);
    expect(await refusal(certificates.setCrl({ caId, crl: older }))).toMatch(
      /^FailedPrecondition: crl: it is not newer/,
    );
    await certificates.setCrl({ caId, crl: await crlOf(ca, [leaves[1], middle], Date.now()) });
    expect(await ask()).toEqual([PRIMARY, DISABLED, DISABLED]);
    expect(await stand()).toEqual([SessionStanding.GOOD, SessionStanding.CLOSE, SessionStanding.CLOSE]);
    await certificates.disableCa({ caId });
    expect(await ask()).toEqual([UNTRUSTED, DISABLED, DISABLED]);
    await certificates.deleteCrl({ caId });
    expect(await ask()).toEqual([UNTRUSTED, PRIMARY, UNTRUSTED]);
  });

  test('a CRL goes with its CA, and needs one that is proven', async () => {
    const { certificates } = service.clients;
    const ca = await made(fresh(), { ca: true });
    const caId = sha256(ca);
    const crl = await crlOf(ca, [await made('leaf', { issuer: ca })], Date.now());
    expect(await refusal(certificates.setCrl({ caId, crl }))).toBe('NotFound: there is no such CA');
    const { verifyCode } = await registered(ca);
    expect(await refusal(certificates.setCrl({ caId, crl }))).toMatch(/^FailedPrecondition: .*verify it first/);
    await verify(ca, verifyCode);
    expect(await refusal(certificates.setCrl({ caId, crl: Uint8Array.of(1) }))).toMatch(
      /^InvalidArgument: crl: not one/,
    );
    await certificates.setCrl({ caId, crl });
    const listed = (await certificates.listCas({ pageSize: 1_000 })).cas.find((one) => one.caId === caId);
    expect(listed?.crl?.revokedCount).toBe(1);
    await certificates.disableCa({ caId });
    await certificates.deleteCa({ caId });
    expect((await registered(ca)).crl).toBeUndefined();
    await certificates.deleteCa({ caId });
  });

  test('disabled certificates are listed by pages, in order', async () => {
    const { certificates } = service.clients;
    const all = ['00'.repeat(20), '00'.repeat(32), '0f'.repeat(32), '7f'.repeat(20), 'ff'.repeat(32)];
    for (const fingerprint of all.toReversed()) await certificates.disableCertificate({ fingerprint });
    const listed: string[] = [];
    let pageToken = '';
    do {
      const page = await certificates.listDisabledCertificates({ pageSize: 2, pageToken });
      listed.push(...page.certificates.map(({ fingerprint }) => fingerprint));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(listed).toEqual(all);
    expect(await refusal(certificates.listDisabledCertificates({ pageToken: 'x' }))).toMatch(
      /^InvalidArgument: page_token/,
    );
    for (const fingerprint of all) await certificates.enableCertificate({ fingerprint });
  });

  test('watchers hear what is to be checked, without a device', async () => {
    const request = create(WatchChangesRequestSchema, {});
    const stream = serverStream(service.clients.channel, AuthenticationService.method.watchChanges, request);
    stream.on('error', () => undefined);
    const heard: WatchChangesResponse['event'][] = [];
    stream.on('data', ({ event }: WatchChangesResponse) => heard.push(event));
    await expect.poll(() => heard.length).toBeGreaterThan(0);
    const fingerprint = 'ab'.repeat(32);
    await service.clients.certificates.disableCertificate({ fingerprint });
    await service.clients.certificates.enableCertificate({ fingerprint });
    const ca = await trusted();
    await service.clients.certificates.setCrl({ caId: sha256(ca), crl: await crlOf(ca, [], Date.now()) });
    await service.clients.certificates.disableCa({ caId: sha256(ca) });
    await service.clients.certificates.deleteCa({ caId: sha256(ca) });
    const changes = () => heard.flatMap((event) => (event.case === 'change' ? [event.value] : []));
    await expect.poll(() => changes().length).toBe(8);
    stream.cancel();
    const ends = { deviceId: '', kind: ChangeKind.CERTIFICATE_DISABLED, effect: SessionEffect.CHECK_CERTIFICATES };
    const keeps = { deviceId: '', kind: ChangeKind.TRUST_UPDATED, effect: SessionEffect.KEEP };
    expect(changes()).toMatchObject([ends, keeps, keeps, keeps, ends, ends, keeps, keeps]);
  });

  test('a basis that is none of this service is refused', async () => {
    for (const basis of [[1], [5, ...Array(32).fill(0)], [2, ...Array(31).fill(0)], Array(2049).fill(0)]) {
      const grant = { credentialId: 'x'.repeat(16), revision: 1n, basis: Uint8Array.from(basis) } as Granted;
      await expect(standing('a', grant)).rejects.toThrow(/INVALID_ARGUMENT.*basis/);
    }
  });
});

describe('two replicas over one Redis', () => {
  let other: Service;
  beforeAll(async () => {
    service = await startService('redis');
    const shared = ['--store', service.redis?.url ?? '', '--data-dir', service.dataDir];
    other = await startService('embedded', ...shared);
  });
  afterAll(async () => {
    await other.stop();
    await service.stop();
  });

  test('what one replica has disabled the other refuses, from the moment of the answer', async () => {
    const { certificates } = service.clients;
    const ca = await trusted();
    const [bound, free] = [fresh(), fresh()];
    const leaf = await made(bound, { issuer: ca });
    const own = await made(free);
    await armed(bound);
    await pinned(free, sha256(own));
    const grants = { bound: await granted(bound, [leaf]), free: await granted(free, [own]) };
    for (let round = 0; round < 20; round += 1) {
      expect(await decide(free, [own], other)).toBe(PRIMARY);
      await certificates.disableCertificate({ fingerprint: sha256(own) });
      expect(await decide(free, [own], other)).toBe(DISABLED);
      await certificates.enableCertificate({ fingerprint: sha256(own) });
    }
    await certificates.disableCertificate({ fingerprint: sha1(own) });
    expect(await standing(free, grants.free, other)).toEqual([SessionStanding.CLOSE]);
    expect(await decide(bound, [leaf], other)).toBe(PRIMARY);
    await certificates.setCrl({ caId: sha256(ca), crl: await crlOf(ca, [leaf], Date.now()) });
    expect(await decide(bound, [leaf], other)).toBe(DISABLED);
    expect(await standing(bound, grants.bound, other)).toEqual([SessionStanding.CLOSE]);
    await certificates.deleteCrl({ caId: sha256(ca) });
    await certificates.disableCa({ caId: sha256(ca) });
    expect(await decide(bound, [leaf], other)).toBe(UNTRUSTED);
    expect(await standing(bound, grants.bound, other)).toEqual([SessionStanding.CLOSE]);
  });
});
