import { toJson } from '@bufbuild/protobuf';
import { CreateDeviceResponseSchema, type Device, DeviceSchema, SecretFormat } from '@latchkey/protocol/v1';
import { type Command, Option } from 'commander';
import {
  type Attach,
  type Call,
  expectedRevisionOption,
  readSecret,
  requestIdOption,
  type SecretOptions,
  secretOptions,
  type WriteOptions,
  wholeNumber,
  writeFields,
} from './command.ts';
import { usageError } from './errors.ts';
import { type Answer, describeDevice, deviceTable, JSON_FORM, required } from './output.ts';

/** Devices of a page: the most that a server gives. */
const PAGE_SIZE = 1000;
/** Devices of a listing, which is kept in memory as a whole. */
const LIST_MAX = 100_000;
const LIST_DEFAULT = 1000;
/** The largest 32-bit number that the service takes: 68 years. */
const TIMEOUT_MAX_S = 2_147_483_647;

/** `latchkey device ...`. */
export function addDeviceCommands(program: Command, attach: Attach): void {
  const group = program.command('device').description('register devices and rule over them');
  addCreate(group, attach);
  attach(group.command('get <id>').description('show a device'), async ({ api }, _: object, id) => {
    const { device } = await api.call(() => api.devices.getDevice({ deviceId: id }));
    return deviceAnswer(device);
  });
  attach(
    group
      .command('list')
      .description('list devices by id')
      .option('--prefix <text>', 'only ids that begin so', '')
      .option('--limit <n>', `at most so many, up to ${LIST_MAX}`, wholeNumber(1, LIST_MAX), LIST_DEFAULT),
    list,
  );
  addUpdate(group, attach);
  addFreezing(group, attach);
  attach(
    writing(group.command('delete <id>').description('forget a device and close its sessions, without asking')),
    async ({ api, outside }, options: WriteOptions, deviceId) => {
      const fields = writeFields(options, outside);
      await api.write(() => api.devices.deleteDevice({ deviceId, ...fields }));
      return { json: { deviceId, deleted: true }, text: `deleted ${deviceId}` };
    },
  );
}

type CreateOptions = SecretOptions & {
  readonly fingerprint?: string;
  readonly trustOnFirstUse?: true;
  readonly hex?: true;
  readonly activationTimeout?: number;
  readonly requireTrustedCa?: true;
  readonly requestId?: string;
};

function addCreate(group: Command, attach: Attach): void {
  const [secret, secretFile] = secretOptions(
    'the primary secret, 8 to 32 of A-Z a-z 0-9 _ and - (default: a generated one)',
  );
  const certificate = ['fingerprint', 'trustOnFirstUse'];
  const command = group
    .command('create <id>')
    .description('register a device; its secret is shown this once')
    .addOption(secret.conflicts(certificate))
    .addOption(secretFile.conflicts(certificate))
    .addOption(
      new Option('--fingerprint <hex>', 'SHA-1 or SHA-256 of its certificate').conflicts(['trustOnFirstUse', 'hex']),
    )
    .addOption(new Option('--trust-on-first-use', 'bind its first certificate of a trusted CA').conflicts('hex'))
    .option('--hex', 'the secret is hexadecimal (NB-IoT)')
    .option('--activation-timeout <s>', 'seconds for the first connect; 0: no limit', wholeNumber(0, TIMEOUT_MAX_S))
    .option('--require-trusted-ca', 'a set fingerprint is not enough, its certificate must chain to a trusted CA')
    .addOption(requestIdOption());
  attach(command, create);
}

async function create({ api, outside }: Call, options: CreateOptions, deviceId: string): Promise<Answer> {
  const request = {
    ...{ deviceId, primary: await primaryOf(options, outside) },
    secretFormat: options.hex ? SecretFormat.HEX : SecretFormat.TEXT,
    requireTrustedCa: options.requireTrustedCa === true,
    activationTimeoutS: options.activationTimeout ?? 0,
    ...writeFields(options, outside),
  };
  const response = await api.write(() => api.devices.createDevice(request));
  return {
    json: toJson(CreateDeviceResponseSchema, response, JSON_FORM),
    text: describeDevice(required(response.device), response.secret),
  };
}

async function primaryOf(options: CreateOptions, outside: Call['outside']) {
  const { fingerprint } = options;
  if (fingerprint !== undefined)
    return { case: 'fingerprint', value: { kind: { case: 'value', value: fingerprint } } } as const;
  if (options.trustOnFirstUse)
    return { case: 'fingerprint', value: { kind: { case: 'trustOnFirstUse', value: true } } } as const;
  const value = await readSecret(options, outside);
  return { case: 'secret', value: value === undefined ? {} : { value } } as const;
}

async function list({ api }: Call, options: { readonly prefix: string; readonly limit: number }): Promise<Answer> {
  const devices: Device[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(PAGE_SIZE, options.limit - devices.length);
    const request = { pageSize, pageToken, idPrefix: options.prefix };
    const page = await api.call(() => api.devices.listDevices(request));
    devices.push(...page.devices);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && devices.length < options.limit);
  const more = pageToken !== '';
  return {
    json: { devices: devices.map((device) => toJson(DeviceSchema, device, JSON_FORM)), more },
    text: deviceTable(devices),
    ...(more && { note: `there are more: --limit shows up to ${LIST_MAX}, --prefix a part` }),
  };
}

type UpdateOptions = WriteOptions & { readonly requireTrustedCa?: boolean; readonly activationTimeout?: number };

function addUpdate(group: Command, attach: Attach): void {
  const command = group
    .command('update <id>')
    .description('change settings; what is not named stays')
    .option('--require-trusted-ca', 'its certificate must chain to a trusted CA')
    .option('--no-require-trusted-ca', 'a set fingerprint is enough')
    .option('--activation-timeout <s>', 'seconds for the first connect; 0: no limit', wholeNumber(0, TIMEOUT_MAX_S));
  attach(writing(command), async ({ api, outside }, options: UpdateOptions, deviceId) => {
    const { requireTrustedCa, activationTimeout } = options;
    if (requireTrustedCa === undefined && activationTimeout === undefined)
      throw usageError('nothing to update was named');
    const request = {
      deviceId,
      ...(requireTrustedCa !== undefined && { requireTrustedCa }),
      ...(activationTimeout !== undefined && { activationTimeoutS: activationTimeout }),
      ...writeFields(options, outside),
    };
    return deviceAnswer((await api.write(() => api.devices.updateDevice(request))).device);
  });
}

function addFreezing(group: Command, attach: Attach): void {
  const freeze = group.command('freeze <id>').description('refuse a device from now on and close its sessions');
  attach(writing(freeze), async ({ api, outside }, options: WriteOptions, deviceId) => {
    const request = { deviceId, ...writeFields(options, outside) };
    return deviceAnswer((await api.write(() => api.devices.freezeDevice(request))).device);
  });
  const unfreeze = group.command('unfreeze <id>').description('let a frozen device in again');
  attach(writing(unfreeze), async ({ api, outside }, options: WriteOptions, deviceId) => {
    const request = { deviceId, ...writeFields(options, outside) };
    return deviceAnswer((await api.write(() => api.devices.unfreezeDevice(request))).device);
  });
}

function writing(command: Command): Command {
  return command.addOption(expectedRevisionOption()).addOption(requestIdOption());
}

function deviceAnswer(found: Device | undefined): Answer {
  const device = required(found);
  return { json: { device: toJson(DeviceSchema, device, JSON_FORM) }, text: describeDevice(device) };
}
