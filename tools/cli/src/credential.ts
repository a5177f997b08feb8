import { toJson } from '@bufbuild/protobuf';
import { ResetCredentialResponseSchema, Slot } from '@latchkey/protocol/v1';
import { type Command, Option } from 'commander';
import {
  type Attach,
  type Call,
  expectedRevisionOption,
  readSecret,
  requestIdOption,
  type WriteOptions,
  writeFields,
} from './command.ts';
import { usageError } from './errors.ts';
import { type Answer, describeCredential, JSON_FORM, pairs, slotName } from './output.ts';
import { addRotationWrites } from './rotation.ts';

type ResetOptions = WriteOptions & {
  readonly kind: 'secret' | 'fingerprint';
  readonly slot: 'primary' | 'secondary';
  readonly value?: string;
  readonly valueFile?: string;
  readonly trustOnFirstUse?: true;
  readonly forceDisconnect?: true;
};

/** `latchkey credential ...`. */
export function addCredentialCommands(program: Command, attach: Attach): void {
  const group = program.command('credential').description('replace and retire the credentials of devices');
  const reset = group
    .command('reset <id>')
    .description('set one slot; a new secret is shown this once')
    .addOption(
      new Option('--kind <kind>', 'what the device has').choices(['secret', 'fingerprint']).makeOptionMandatory(),
    )
    .addOption(new Option('--slot <slot>', 'what to set').choices(['primary', 'secondary']).makeOptionMandatory())
    .addOption(
      new Option(
        '--value <text>',
        'the new secret (default: a generated one) or fingerprint; other users of this machine see it in the list of processes',
      ).conflicts(['valueFile', 'trustOnFirstUse']),
    )
    .addOption(
      new Option('--value-file <file>', 'file that holds it; - reads standard input').conflicts('trustOnFirstUse'),
    )
    .option('--trust-on-first-use', 'bind the first certificate of a trusted CA (primary fingerprint)')
    .option('--force-disconnect', 'close every session of the device')
    .addOption(expectedRevisionOption())
    .addOption(requestIdOption());
  attach(reset, resetCredential);
  addRotationWrites(group, attach);
}

async function resetCredential({ api, outside }: Call, options: ResetOptions, deviceId: string): Promise<Answer> {
  const request = {
    deviceId,
    slot: options.slot === 'primary' ? Slot.PRIMARY : Slot.SECONDARY,
    credential: await credentialOf(options, outside),
    forceDisconnect: options.forceDisconnect === true,
    ...writeFields(options, outside),
  };
  const response = await api.write(() => api.credentials.resetCredential(request));
  const { credential, secret, revision } = response;
  return {
    json: toJson(ResetCredentialResponseSchema, response, JSON_FORM),
    text: pairs([
      ['device', deviceId],
      [slotName(request.slot), describeCredential(credential)],
      ['revision', String(revision)],
      ['secret', secret ?? ''],
    ]),
  };
}

async function credentialOf(options: ResetOptions, outside: Call['outside']) {
  const { kind, value: secret, valueFile: secretFile } = options;
  const value = await readSecret({ ...(secret && { secret }), ...(secretFile && { secretFile }) }, outside);
  if (kind === 'secret') {
    if (options.trustOnFirstUse) throw usageError('--trust-on-first-use is for --kind fingerprint');
    return { case: 'secret', value: value === undefined ? {} : { value } } as const;
  }
  if (value !== undefined) return { case: 'fingerprint', value: { kind: { case: 'value', value } } } as const;
  if (options.trustOnFirstUse)
    return { case: 'fingerprint', value: { kind: { case: 'trustOnFirstUse', value: true } } } as const;
  throw usageError('--kind fingerprint needs --value, --value-file or --trust-on-first-use');
}
