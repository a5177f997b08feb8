import { create, toJson } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  DeviceSchema,
  type GetRotationReportResponse_DeviceRotation,
  GetRotationReportResponse_DeviceRotationSchema,
  RetireCredentialResponseSchema,
  Slot,
} from '@latchkey/protocol/v1';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  type Attach,
  type Call,
  expectedRevisionOption,
  requestIdOption,
  type WriteOptions,
  wholeNumber,
  writeFields,
} from './command.ts';
import { type Answer, columns, describeDevice, JSON_FORM, required, slotName, stateName, time } from './output.ts';

/** Devices of one call: the most that a server takes. */
const CALL_MAX = 1000;
/** Devices of a report, which is kept in memory as a whole. */
const REPORT_MAX = 100_000;
const REPORT_DEFAULT = 1000;

type RetireOptions = WriteOptions & {
  readonly slot: 'primary' | 'secondary';
  readonly at?: Date;
  readonly onOtherUsed?: true;
  readonly execute?: true;
};

/** `latchkey credential retire` and `latchkey credential promote`. */
export function addRotationWrites(group: Command, attach: Attach): void {
  const retire = group
    .command('retire <ids...>')
    .description('empty one slot; without --execute only say who would be locked out')
    .addOption(new Option('--slot <slot>', 'what to empty').choices(['primary', 'secondary']).makeOptionMandatory())
    .addOption(
      new Option('--at <time>', 'not now but then; ISO 8601, such as 2026-12-01T08:00Z')
        .argParser(moment)
        .conflicts('onOtherUsed'),
    )
    .option('--on-other-used', "not now but at the device's next success with the other slot")
    .option('--execute', 'do it')
    .addOption(expectedRevisionOption())
    .addOption(requestIdOption());
  attach(retire, retireCredentials);
  const promote = group
    .command('promote <id>')
    .description('have primary and secondary change places')
    .addOption(expectedRevisionOption())
    .addOption(requestIdOption());
  attach(promote, async ({ api, outside }, options: WriteOptions, deviceId) => {
    const request = { deviceId, ...writeFields(options, outside) };
    const { device } = await api.write(() => api.credentials.promoteSecondary(request));
    const promoted = required(device);
    return { json: { device: toJson(DeviceSchema, promoted, JSON_FORM) }, text: describeDevice(promoted) };
  });
}

/** `latchkey rotation ...`. */
export function addRotationCommands(program: Command, attach: Attach): void {
  const group = program.command('rotation').description('see which credentials devices really use');
  attach(
    group
      .command('report [id]')
      .description('first and last use of each slot, and the slot that is safe to retire')
      .option(
        '--limit <n>',
        `at most so many devices, up to ${REPORT_MAX}`,
        wholeNumber(1, REPORT_MAX),
        REPORT_DEFAULT,
      ),
    report,
  );
}

async function retireCredentials({ api, outside }: Call, options: RetireOptions, ...ids: string[]): Promise<Answer> {
  const { at, execute = false } = options;
  const response = create(RetireCredentialResponseSchema);
  const fields = writeFields(options, outside);
  // A longer list goes in parts; each device remembers the request id on its own.
  for (let from = 0; from < ids.length; from += CALL_MAX) {
    const request = {
      deviceIds: ids.slice(from, from + CALL_MAX),
      slot: options.slot === 'primary' ? Slot.PRIMARY : Slot.SECONDARY,
      ...(at !== undefined && { moment: { case: 'deadline' as const, value: timestampFromDate(at) } }),
      ...(options.onOtherUsed && { moment: { case: 'onOtherUsed' as const, value: true } }),
      ...{ execute, ...fields },
    };
    response.outcomes.push(...(await api.write(() => api.credentials.retireCredential(request))).outcomes);
  }
  const rows = response.outcomes.map((outcome) => [
    outcome.deviceId,
    outcome.locksOut ? 'yes' : 'no',
    time(outcome.lastUsedAt) || 'never',
    outcome.done ? 'yes' : 'no',
    String(outcome.revision),
  ]);
  const lockedOut = response.outcomes.filter(({ locksOut }) => locksOut).length;
  const note = `nothing was changed; ${lockedOut} of ${rows.length} would be locked out; --execute does it`;
  return {
    json: toJson(RetireCredentialResponseSchema, response, JSON_FORM),
    text: columns([['DEVICE', 'LOCKS OUT', 'LAST USE', 'DONE', 'REVISION'], ...rows]),
    ...(!execute && { note }),
  };
}

async function report({ api }: Call, options: { readonly limit: number }, deviceId: string): Promise<Answer> {
  const devices: GetRotationReportResponse_DeviceRotation[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(CALL_MAX, options.limit - devices.length);
    const page = await api.call(() => api.credentials.getRotationReport({ deviceId, pageSize, pageToken }));
    devices.push(...page.devices);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && devices.length < options.limit);
  const more = pageToken !== '';
  const json = devices.map((device) => toJson(GetRotationReportResponse_DeviceRotationSchema, device, JSON_FORM));
  const rows = devices.flatMap(rowsOf);
  return {
    json: { devices: json, more },
    text: columns([['DEVICE', 'SLOT', 'STATE', 'SET', 'FIRST USE', 'LAST USE', 'RETIRES', 'SAFE'], ...rows]),
    ...(more && { note: `there are more: --limit shows up to ${REPORT_MAX}` }),
  };
}

/** A line for each slot. */
function rowsOf({ deviceId, slots, safeToRetire }: GetRotationReportResponse_DeviceRotation): readonly string[][] {
  return slots.map(({ credential, firstUsedAt, lastUsedAt }) => {
    const { slot, state, setAt, retiresAt, retiresOnOtherUsed } = required(credential);
    return [
      ...[deviceId, slotName(slot), stateName(state), time(setAt) || '-'],
      ...[time(firstUsedAt) || 'never', time(lastUsedAt) || 'never'],
      retiresOnOtherUsed ? 'on use of the other' : time(retiresAt) || '-',
      slot === safeToRetire ? 'yes' : 'no',
    ];
  });
}

function moment(text: string): Date {
  const date = new Date(text);
  // Without a zone the same text would name another moment on each machine.
  if (/^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(date.getTime())) return date;
  throw new InvalidArgumentError(
    'It must be a time with its zone, such as 2026-12-01T08:00Z or 2026-12-01T08:00+01:00.',
  );
}
