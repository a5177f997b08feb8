import { createHmac, X509Certificate } from 'node:crypto';
import { type MessageInitShape, toJson } from '@bufbuild/protobuf';
import {
  DenyReason,
  type ProofSchema,
  Protocol,
  type TryProofResponse,
  TryProofResponseSchema,
} from '@latchkey/protocol/v1';
import { type Command, Option } from 'commander';
import {
  type Attach,
  type Call,
  readSecret,
  readSmallFile,
  type SecretOptions,
  secretOptions,
  wholeNumber,
} from './command.ts';
import { EXIT, usageError } from './errors.ts';
import { type Answer, JSON_FORM, reasonWords, slotName } from './output.ts';

type Options = SecretOptions & {
  readonly protocol: 'mqtt' | 'coap' | 'https';
  readonly password?: string;
  readonly timestamp?: string;
  readonly signType?: number;
  readonly digest?: true;
  readonly certificate?: string;
  readonly fingerprint?: string;
};

type Proof = Extract<MessageInitShape<typeof ProofSchema>, { kind?: unknown }>['kind'];

const PROTOCOLS = { mqtt: Protocol.MQTT, coap: Protocol.COAP, https: Protocol.HTTPS } as const;

/** Eight certificates of 16 KiB, the most that a proof may have, in PEM. */
const CERTIFICATE_FILE_MAX_BYTES = 196_608;

/** Digests of sign types 0, 1 and 2. */
const DIGESTS = ['sha256', 'sha256', 'sm3'] as const;

/** `latchkey authenticate`. */
export function addAuthenticateCommand(program: Command, attach: Attach): void {
  const [secret, secretFile] = secretOptions('the secret of the device');
  const command = program
    .command('authenticate <id>')
    .description('ask whether a proof would let a device in; nothing is changed or counted')
    .addOption(
      new Option('--protocol <name>', 'what the device speaks').choices(Object.keys(PROTOCOLS)).default('mqtt'),
    )
    .addOption(secret)
    .addOption(secretFile)
    .option('--digest', 'show a digest of the secret, as a device does, not the secret')
    .option('--password <hex>', 'the digest that a device sent; needs --timestamp')
    .option('--timestamp <YYYYMMDDHH>', 'the hour of the digest in UTC (with --digest: default now)')
    .option('--sign-type <n>', '0: the hour is not checked, 1: it is, 2: it is, and the hash is SM3', wholeNumber(0, 2))
    .option('--certificate <file>', 'certificate chain, leaf first, PEM or DER')
    .option('--fingerprint <hex>', 'SHA-1 or SHA-256 of the certificate')
    .addHelpText(
      'after',
      '\nWithout --sign-type it is 0 with --password and 1 with --digest. Exit code 0: granted, 3: denied.',
    );
  attach(command, authenticate);
}

async function authenticate({ api, outside }: Call, options: Options, deviceId: string): Promise<Answer> {
  const kind = await proofOf(options, outside);
  const attempt = { deviceId, protocol: PROTOCOLS[options.protocol], proof: { kind } };
  const response = await api.call(() => api.credentials.tryProof({ attempt }));
  const text = describeDecision(response);
  const json = toJson(TryProofResponseSchema, response, JSON_FORM);
  return { json, text, exitCode: response.decision.case === 'granted' ? EXIT.ok : EXIT.denied };
}

async function proofOf(options: Options, outside: Call['outside']): Promise<NonNullable<Proof>> {
  const { password, certificate, fingerprint, digest } = options;
  const secret = await readSecret(options, outside);
  if ([password, secret, certificate, fingerprint].filter((proof) => proof !== undefined).length !== 1)
    throw usageError('name one proof: --secret, --secret-file, --password, --certificate or --fingerprint');
  if (digest && secret === undefined) throw usageError('--digest needs --secret or --secret-file');
  if (secret !== undefined) return digest ? digestOf(secret, options, outside.now()) : secretProof(secret, options);
  if (password !== undefined) return passwordProof(password, options);
  refuseDigestOptions(options);
  if (certificate !== undefined) return { case: 'certificate', value: { chain: await readChain(certificate) } };
  return { case: 'fingerprint', value: { fingerprint: fingerprint ?? '' } };
}

function secretProof(secret: string, options: Options): NonNullable<Proof> {
  refuseDigestOptions(options);
  return { case: 'secret', value: { secret } };
}

function refuseDigestOptions({ timestamp, signType }: Options): void {
  if (timestamp !== undefined || signType !== undefined)
    throw usageError('--timestamp and --sign-type are for --password and --digest');
}

function passwordProof(password: string, { timestamp, signType = 0 }: Options): NonNullable<Proof> {
  if (timestamp === undefined) throw usageError('--password needs --timestamp');
  return { case: 'digest', value: { password, timestamp, signType } };
}

/** What a device with this secret sends (IoTDA, "Device Connection Authentication"): the hour is the key. */
function digestOf(secret: string, options: Options, now: number): NonNullable<Proof> {
  const { timestamp = new Date(now).toISOString().replaceAll(/\D/g, '').slice(0, 10), signType = 1 } = options;
  const password = createHmac(DIGESTS[signType] ?? 'sha256', timestamp)
    .update(secret)
    .digest('hex');
  return { case: 'digest', value: { password, timestamp, signType } };
}

async function readChain(path: string): Promise<Uint8Array<ArrayBuffer>[]> {
  const file = await readSmallFile(path, CERTIFICATE_FILE_MAX_BYTES);
  const blocks = file.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  try {
    return (blocks ?? [file]).map((block) => Uint8Array.from(new X509Certificate(block).raw));
  } catch {
    throw usageError(`${path} holds no certificate in PEM or DER`);
  }
}

function describeDecision({ decision, wouldActivate, wouldBind }: TryProofResponse): string {
  if (decision.case !== 'granted') return `denied: ${reasonWords(decision.value?.reason ?? DenyReason.UNSPECIFIED)}`;
  const { slot, credentialId, revision } = decision.value;
  return [
    `granted: ${slotName(slot)} credential ${credentialId}, revision ${revision}`,
    ...(wouldActivate ? ['it would activate the device'] : []),
    ...(wouldBind ? ['it would bind the certificate to the primary slot'] : []),
  ].join('\n');
}
