import { X509Certificate } from 'node:crypto';
import { toJson } from '@bufbuild/protobuf';
import {
  type ListDisabledCertificatesResponse_DisabledCertificate as DisabledCertificate,
  ListDisabledCertificatesResponse_DisabledCertificateSchema as DisabledCertificateSchema,
} from '@latchkey/protocol/v1';
import type { Command } from 'commander';
import { type Attach, type Call, readSmallFile, wholeNumber } from './command.ts';
import { CliError, usageError } from './errors.ts';
import { type Answer, columns, JSON_FORM, time } from './output.ts';

/** One certificate of 16 KiB, in PEM. */
const FILE_MAX_BYTES = 24_576;
/** Certificates of a page: the most that a server gives. */
const PAGE_SIZE = 1_000;
/** Certificates of a listing, which is kept in memory as a whole. */
const LIST_MAX = 300_000;
const LIST_DEFAULT = 1_000;

/** `latchkey certificate ...`. */
export function addCertificateCommands(program: Command, attach: Attach): void {
  const group = program.command('certificate').description('shut single certificates out');
  const disabling = group
    .command('disable <certificate>')
    .description('refuse a certificate whatever device shows it; ends its sessions, without asking')
    .option('--note <text>', 'why, at most 256 characters', '');
  attach(disabling, disable);
  attach(group.command('enable <certificate>').description('take that back'), enable);
  attach(
    group
      .command('list')
      .description('show the disabled certificates')
      .option('--limit <n>', `at most so many, up to ${LIST_MAX}`, wholeNumber(1, LIST_MAX), LIST_DEFAULT),
    list,
  );
  group.addHelpText(
    'after',
    `
<certificate> is its file (PEM or DER), or its SHA-256 or SHA-1 in hex, with colons or without. With the file, both are
disabled: that refuses it also where a gateway sends a fingerprint alone.`,
  );
}

async function disable({ api }: Call, { note }: { readonly note: string }, what: string): Promise<Answer> {
  const fingerprints = await fingerprintsOf(what);
  for (const fingerprint of fingerprints)
    await api.write(() => api.certificates.disableCertificate({ fingerprint, note }));
  return { json: { disabled: fingerprints }, text: fingerprints.map((one) => `disabled ${one}`).join('\n') };
}

async function enable({ api }: Call, _: object, what: string): Promise<Answer> {
  const fingerprints = await fingerprintsOf(what);
  const enabled: string[] = [];
  let missing: unknown;
  for (const fingerprint of fingerprints) {
    try {
      await api.call(() => api.certificates.enableCertificate({ fingerprint }));
      enabled.push(fingerprint);
    } catch (error) {
      // Of a file one form may be disabled alone.
      if (!(error instanceof CliError) || error.code !== 'not_found') throw error;
      missing = error;
    }
  }
  if (enabled.length === 0) throw missing;
  return { json: { enabled }, text: enabled.map((one) => `enabled ${one}`).join('\n') };
}

async function list({ api }: Call, { limit }: { readonly limit: number }): Promise<Answer> {
  const found: DisabledCertificate[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(PAGE_SIZE, limit - found.length);
    const page = await api.call(() => api.certificates.listDisabledCertificates({ pageSize, pageToken }));
    found.push(...page.certificates);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < limit);
  const more = pageToken !== '';
  const rows = found.map(({ fingerprint, disabledAt, note }) => [fingerprint, time(disabledAt), note]);
  return {
    json: { certificates: found.map((one) => toJson(DisabledCertificateSchema, one, JSON_FORM)), more },
    text: columns([['FINGERPRINT', 'DISABLED', 'NOTE'], ...rows]),
    ...(more && { note: `there are more: --limit shows up to ${LIST_MAX}` }),
  };
}

/** The fingerprint that the text is, or both of the certificate in the file that it names. Throws a CliError. */
async function fingerprintsOf(what: string): Promise<string[]> {
  const hex = what.replaceAll(':', '').toLowerCase();
  if (/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(hex)) return [hex];
  const file = await readSmallFile(what, FILE_MAX_BYTES);
  try {
    const { fingerprint256, fingerprint } = new X509Certificate(file);
    return [fingerprint256, fingerprint].map((text) => text.replaceAll(':', '').toLowerCase());
  } catch {
    throw usageError(`${what} holds no certificate in PEM or DER`);
  }
}
