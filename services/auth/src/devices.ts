import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { status } from '@grpc/grpc-js';
import {
  createDevice,
  type DeviceRecord,
  type DeviceState,
  freeze,
  generateSecret,
  type NewDevice,
  unfreeze,
  updateSettings,
} from '@latchkey/credential';
import {
  CREDENTIAL_ID_BYTES,
  type CredentialId,
  type DeviceId,
  parseDeviceId,
  Secret,
  toCredentialId,
} from '@latchkey/kernel';
import {
  type CreateDeviceRequest,
  CreateDeviceRequestSchema,
  type CreateDeviceResponse,
  CreateDeviceResponseSchema,
  DeleteDeviceRequestSchema,
  type Device,
  type DeviceService,
  FreezeDeviceRequestSchema,
  type ListDevicesRequest,
  type ListDevicesResponse,
  ListDevicesResponseSchema,
  UnfreezeDeviceRequestSchema,
  UpdateDeviceRequestSchema,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import { operatorOf } from './caller.ts';
import { secretFormatOf, toDevice } from './convert.ts';
import type { Ports } from './ports.ts';
import { readDeviceId } from './question.ts';
import { accepted, existing, madeSlot, sameSecret, type WritingRequest, writeHead } from './request.ts';
import { type Plan, superseded, writeRecord } from './writes.ts';

/** Devices a page when the request does not say. */
const PAGE_SIZE = 100;

/** The part of DeviceService that is served; import and export come later. */
export function deviceService(ports: Ports): Partial<ServiceImpl<typeof DeviceService>> {
  const { store } = ports;
  return {
    createDevice: (request, context) => register(ports, request, operatorOf(context)),
    getDevice: async ({ deviceId }) => ({
      device: toDevice(existing(await store.read(readDeviceId(deviceId)), deviceId)),
    }),
    listDevices: (request) => list(ports, request),
    updateDevice: async (request, context) => ({
      device: await change(ports, UpdateDeviceRequestSchema, request, {
        operator: operatorOf(context),
        plan: (record) => updatePlan(record, request),
        holds: () => true, // whatever was set since, this update was made
      }),
    }),
    freezeDevice: async (request, context) => ({
      device: await change(ports, FreezeDeviceRequestSchema, request, {
        operator: operatorOf(context),
        plan: (record) => planOf(record, freeze(record), { kind: 'FROZEN', effect: { close: 'DEVICE' } }),
        holds: (record) => record.frozen,
      }),
    }),
    unfreezeDevice: async (request, context) => ({
      device: await change(ports, UnfreezeDeviceRequestSchema, request, {
        operator: operatorOf(context),
        plan: (record) => planOf(record, unfreeze(record), { kind: 'UNFROZEN', effect: { close: 'NONE' } }),
        holds: (record) => !record.frozen,
      }),
    }),
    deleteDevice: async (request, context) => {
      const { record, replay } = await writeRecord(ports, {
        ...writeHead(DeleteDeviceRequestSchema, request, operatorOf(context)),
        plan: (found) => {
          existing(found, request.deviceId);
          return { state: undefined, kind: 'DELETED', effect: { close: 'DEVICE' } };
        },
      });
      if (replay !== undefined && record !== undefined) throw superseded();
      return {};
    },
  };
}

async function register(ports: Ports, request: CreateDeviceRequest, operator: string): Promise<CreateDeviceResponse> {
  const head = writeHead(CreateDeviceRequestSchema, request, operator);
  const credentialId = toCredentialId(ports.random(CREDENTIAL_ID_BYTES));
  const state = accepted(
    createDevice({
      deviceId: head.deviceId,
      nowMs: ports.clock.now(),
      activationTimeoutS: request.activationTimeoutS,
      credential: firstCredential(ports, request, credentialId),
    }),
  );
  const made = state.credentials.primary.state === 'ARMED' ? undefined : credentialId;
  const written = await writeRecord(ports, {
    ...head,
    plan: (record) => {
      if (record !== undefined) throw new RpcError(status.ALREADY_EXISTS, `there is a device ${head.deviceId} already`);
      return { state, kind: 'CREATED', effect: { close: 'NONE' }, credentialId: made };
    },
  });
  const { record, held } = madeSlot(written, 'PRIMARY', made);
  const response = create(CreateDeviceResponseSchema, { device: toDevice(record) });
  if (held.state === 'SET' && 'secret' in held) {
    sameSecret(request.primary.case === 'secret' ? request.primary.value.value : undefined, held.secret);
    response.secret = held.secret.reveal();
  }
  return response;
}

function firstCredential(
  ports: Ports,
  { primary, secretFormat, requireTrustedCa }: CreateDeviceRequest,
  credentialId: CredentialId,
): NewDevice['credential'] {
  if (primary.case === 'secret') {
    const format = secretFormatOf(secretFormat);
    const given = primary.value.value;
    const secret = given === undefined ? generateSecret(ports.random, format) : new Secret(given);
    return { kind: 'SECRET', format, primary: { credentialId, secret } };
  }
  const fingerprint = primary.value?.kind.case === 'value' ? primary.value.kind.value : undefined;
  return {
    kind: 'CERTIFICATE',
    requireTrustedCa,
    primary: fingerprint === undefined ? { trustOnFirstUse: true } : { credentialId, fingerprint },
  };
}

async function list({ store }: Ports, request: ListDevicesRequest): Promise<ListDevicesResponse> {
  const { records, next } = await store.list({
    after: readPageToken(request.pageToken),
    prefix: request.idPrefix,
    limit: request.pageSize === 0 ? PAGE_SIZE : request.pageSize,
  });
  return create(ListDevicesResponseSchema, { devices: records.map(toDevice), nextPageToken: next ?? '' });
}

/** Where a page begins; undefined: at the first device. Throws INVALID_ARGUMENT. */
export function readPageToken(text: string): DeviceId | undefined {
  const after = parseDeviceId(text);
  if (after === undefined && text !== '')
    throw new RpcError(status.INVALID_ARGUMENT, 'page_token: not one of this service');
  return after;
}

type DeviceChange = {
  readonly operator: string;
  readonly plan: (record: DeviceRecord) => Plan | undefined;
  /** Whether what a repeated request wrote still stands. */
  readonly holds: (record: DeviceRecord) => boolean;
};

async function change<D extends DescMessage>(
  ports: Ports,
  desc: D,
  request: MessageShape<D> & WritingRequest,
  { operator, plan, holds }: DeviceChange,
): Promise<Device> {
  const written = await writeRecord(ports, {
    ...writeHead(desc, request, operator),
    plan: (record) => plan(existing(record, request.deviceId)),
  });
  const record = existing(written.record, request.deviceId);
  if (written.replay !== undefined && !holds(record)) throw superseded();
  return toDevice(record);
}

function planOf(record: DeviceRecord, state: DeviceState, how: Pick<Plan, 'kind' | 'effect'>): Plan | undefined {
  return state === record ? undefined : { state, ...how };
}

function updatePlan(
  record: DeviceRecord,
  request: { readonly requireTrustedCa?: boolean | undefined; readonly activationTimeoutS?: number | undefined },
): Plan {
  const { requireTrustedCa, activationTimeoutS } = request;
  const state = accepted(
    updateSettings(record, {
      ...(requireTrustedCa === undefined ? {} : { requireTrustedCa }),
      ...(activationTimeoutS === undefined ? {} : { activationTimeoutS }),
    }),
  );
  return { state, kind: 'UPDATED', effect: { close: 'NONE' } };
}
