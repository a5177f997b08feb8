import { toJson } from '@bufbuild/protobuf';
import {
  type Ca,
  CaSchema,
  CaStatus,
  type Crl,
  DeleteCaResponseSchema,
  DeleteCrlResponseSchema,
  DisableCaResponseSchema,
  RegisterCaResponseSchema,
  SetCrlResponseSchema,
  VerifyCaResponseSchema,
} from '@latchkey/protocol/v1';
import type { Command } from 'commander';
import type { Api } from './client.ts';
import { type Attach, type Call, readSmallFile } from './command.ts';
import { CliError, EXIT, usageError } from './errors.ts';
import { type Answer, columns, JSON_FORM, pairs, required, time, word } from './output.ts';

/** The most that the service takes. */
const PEM_MAX_BYTES = 16_384;
/** A CRL as long as the service takes in DER, in PEM. */
const CRL_FILE_MAX_BYTES = 1_000_000;
/** A page with all CAs that there can be. */
const ALL_CAS = 1_000;
/** Characters of an id that a table shows; so many name one CA. */
const SHORT_ID = 16;

const STATUSES: Readonly<Record<CaStatus, string>> = {
  [CaStatus.UNSPECIFIED]: 'unknown',
  [CaStatus.UNVERIFIED]: 'unverified',
  [CaStatus.TRUSTED]: 'trusted',
  [CaStatus.DISABLED]: 'disabled',
};

const PROVE =
  'it is not trusted yet: sign a certificate with that common name by the CA, and give it to "latchkey ca verify"';

/** `latchkey ca ...`. */
export function addCaCommands(program: Command, attach: Attach): void {
  const group = program.command('ca').description('say which CAs the certificates of devices may chain to');
  attach(
    group.command('register <file>').description('take in a CA certificate (PEM); shows its verify code'),
    register,
  );
  attach(
    group.command('verify <id> <file>').description('prove the key of a CA by a certificate (PEM) named as its code'),
    verify,
  );
  attach(group.command('list').description('show all CAs'), list);
  attach(
    group.command('disable <id>').description('trust a CA no more; ends what rests on it, without asking'),
    disable,
  );
  attach(group.command('delete <id>').description('forget a CA that is not trusted'), remove);
  const crl = group.command('crl').description('say which certificates a CA has revoked');
  attach(
    crl.command('set <id> <file>').description("take in the CA's newest CRL (PEM or DER); ends what it revokes"),
    setCrl,
  );
  attach(crl.command('delete <id>').description('forget it: what it revoked is accepted again'), deleteCrl);
  group.addHelpText('after', '\n<id> may be the beginning of an id, if no other CA begins so.');
}

async function register({ api }: Call, _: object, file: string): Promise<Answer> {
  const certificate = await readPem(file);
  const response = await api.write(() => api.certificates.registerCa({ certificate }));
  return { json: toJson(RegisterCaResponseSchema, response, JSON_FORM), text: describe(response.ca), note: PROVE };
}

async function verify({ api }: Call, _: object, id: string, file = ''): Promise<Answer> {
  const verificationCertificate = await readPem(file);
  const caId = await idOf(api, id);
  const response = await api.write(() => api.certificates.verifyCa({ caId, verificationCertificate }));
  return { json: toJson(VerifyCaResponseSchema, response, JSON_FORM), text: describe(response.ca) };
}

async function list({ api }: Call): Promise<Answer> {
  const cas = await allCas(api);
  const rows = cas.map(({ caId, status, notAfter, verifyCode, subject, crl }) => {
    const [ends, code] = [time(notAfter).slice(0, 10), verifyCode || '-'];
    const next = crl === undefined ? '-' : time(crl.nextUpdate).slice(0, 10);
    return [caId.slice(0, SHORT_ID), word(STATUSES, status), ends, next, code, subject];
  });
  return {
    json: { cas: cas.map((ca) => toJson(CaSchema, ca, JSON_FORM)) },
    text: columns([['CA', 'STATUS', 'ENDS', 'NEXT CRL', 'VERIFY CODE', 'SUBJECT'], ...rows]),
  };
}

async function disable({ api }: Call, _: object, id: string): Promise<Answer> {
  const caId = await idOf(api, id);
  const response = await api.write(() => api.certificates.disableCa({ caId }));
  return { json: toJson(DisableCaResponseSchema, response, JSON_FORM), text: describe(response.ca) };
}

async function remove({ api }: Call, _: object, id: string): Promise<Answer> {
  const caId = await idOf(api, id);
  const response = await api.call(() => api.certificates.deleteCa({ caId }));
  return { json: toJson(DeleteCaResponseSchema, response, JSON_FORM), text: `deleted ${caId}` };
}

async function setCrl({ api }: Call, _: object, id: string, file = ''): Promise<Answer> {
  const crl = await readCrl(file);
  const caId = await idOf(api, id);
  const response = await api.write(() => api.certificates.setCrl({ caId, crl }));
  return { json: toJson(SetCrlResponseSchema, response, JSON_FORM), text: describe(response.ca) };
}

async function deleteCrl({ api }: Call, _: object, id: string): Promise<Answer> {
  const caId = await idOf(api, id);
  const response = await api.call(() => api.certificates.deleteCrl({ caId }));
  return { json: toJson(DeleteCrlResponseSchema, response, JSON_FORM), text: `deleted the CRL of ${caId}` };
}

function describe(ca: Ca | undefined): string {
  const { caId, status, subject, verifyCode, notAfter, crl } = required(ca);
  return pairs([
    ['CA', caId],
    ['status', word(STATUSES, status)],
    ['subject', subject],
    ['ends', time(notAfter)],
    ['verify code', verifyCode],
    ['CRL', crl === undefined ? '' : describeCrl(crl)],
  ]);
}

function describeCrl({ number, revokedCount, thisUpdate, nextUpdate }: Crl): string {
  const name = number === '' ? 'without number' : `number ${number}`;
  return `${name} of ${time(thisUpdate)}, next by ${time(nextUpdate)}, revokes ${revokedCount}`;
}

async function allCas(api: Api): Promise<readonly Ca[]> {
  return (await api.call(() => api.certificates.listCas({ pageSize: ALL_CAS }))).cas;
}

/** The id that begins so. Throws a CliError when there is none, or more than one. */
async function idOf(api: Api, text: string): Promise<string> {
  const begin = text.toLowerCase();
  if (!/^[0-9a-f]{1,64}$/.test(begin)) throw usageError(`no id of a CA, which is hexadecimal: "${text}"`);
  if (begin.length === 64) return begin;
  const [found, ...more] = (await allCas(api)).filter(({ caId }) => caId.startsWith(begin));
  if (found === undefined) throw new CliError(EXIT.notFound, 'not_found', `no CA begins with ${begin}`);
  if (more.length > 0) throw usageError(`${more.length + 1} CAs begin with ${begin}`);
  return found.caId;
}

async function readPem(file: string): Promise<string> {
  return (await readSmallFile(file, PEM_MAX_BYTES)).toString('latin1');
}

/** The CRL in a file, as DER where it is in PEM, which is longer. */
async function readCrl(file: string): Promise<Uint8Array> {
  const bytes = await readSmallFile(file, CRL_FILE_MAX_BYTES);
  const pem = /^-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----\s*$/.exec(bytes.toString('latin1'));
  return Uint8Array.from(pem === null ? bytes : Buffer.from(pem[1] ?? '', 'base64'));
}
