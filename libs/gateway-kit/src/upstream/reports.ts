import { type DeviceId, parseDeviceId } from '@latchkey/kernel';

/** What a device reports: properties, a message, or properties of the devices behind it. */
export type ReportKind = 'PROPERTIES' | 'MESSAGE' | 'SUB_DEVICES';

/** Whose report comes over a path; undefined: what stands in its place is no device id. */
export type ReportRoute = { readonly kind: ReportKind; readonly deviceId: DeviceId | undefined };

/** IoTDA API iot_06_v5_7009 to 7011. */
const REPORT_PATH = /^\/v5\/devices\/([^/]*)\/sys\/(.*)$/;

const KINDS: ReadonlyMap<string, ReportKind> = new Map([
  ['properties/report', 'PROPERTIES'],
  ['messages/up', 'MESSAGE'],
  ['gateway/sub-devices/properties/report', 'SUB_DEVICES'],
]);

/** The part of the topic behind `$oc/devices/{device_id}/sys/` on which MQTT devices report the same (iot_06_v5_3001 and on). */
const TOPICS: Readonly<Record<ReportKind, string>> = {
  PROPERTIES: 'properties/report',
  MESSAGE: 'messages/up',
  SUB_DEVICES: 'gateway/sub_devices/properties/report',
};

/** Reads the path of a report; undefined: it is none. Never throws. */
export function readReportPath(path: string): ReportRoute | undefined {
  const [, deviceText = '', rest = ''] = REPORT_PATH.exec(path) ?? [];
  const kind = KINDS.get(rest);
  return kind === undefined ? undefined : { kind, deviceId: parseDeviceId(deviceText) };
}

/** The topic that a report goes to. */
export function topicOf(deviceId: DeviceId, kind: ReportKind): string {
  return `$oc/devices/${deviceId}/sys/${TOPICS[kind]}`;
}

/** Sub-devices that one report may carry (IoTDA API iot_06_v5_7011). */
const MAX_SUB_DEVICES = 50;

type Fields = Readonly<Record<string, unknown>>;

/** Reads JSON in UTF-8; undefined: it is none. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

/** What is wrong with a report: its form, or that a sub-device in it is none of the device's. */
export type ReportFault = 'MALFORMED' | 'NOT_ITS_SUB_DEVICE';

/**
 * What is wrong with the body of a report of this kind (IoTDA API iot_06_v5_7009 to 7011); undefined: nothing. A message may
 * be anything, even nothing. Which sub-devices a device has is not known, but that it is none of its own.
 */
export function faultOf(kind: ReportKind, deviceId: DeviceId, body: Uint8Array): ReportFault | undefined {
  switch (kind) {
    case 'MESSAGE':
      return undefined;
    case 'PROPERTIES':
      return hasServices(parseJson(body)) ? undefined : 'MALFORMED';
    case 'SUB_DEVICES': {
      const subDevices = subDevicesIn(parseJson(body));
      if (subDevices === undefined) return 'MALFORMED';
      return subDevices.includes(deviceId) ? 'NOT_ITS_SUB_DEVICE' : undefined;
    }
  }
}

/** The fields of a JSON object; undefined: it is none. */
export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function subDevicesIn(value: unknown): readonly DeviceId[] | undefined {
  const devices = fieldsOf(value)?.['devices'];
  if (!isList(devices) || devices.length > MAX_SUB_DEVICES) return undefined;
  const subDevices = devices.map(subDeviceIn);
  return subDevices.every((subDevice) => subDevice !== undefined) ? subDevices : undefined;
}

function subDeviceIn(value: unknown): DeviceId | undefined {
  const deviceId = fieldsOf(value)?.['device_id'];
  return typeof deviceId === 'string' && hasServices(value) ? parseDeviceId(deviceId) : undefined;
}

function hasServices(value: unknown): boolean {
  const services = fieldsOf(value)?.['services'];
  return isList(services) && services.every(isService);
}

/** A malformed `event_time` is no error: the time of arrival counts instead. */
function isService(value: unknown): boolean {
  const fields = fieldsOf(value);
  return typeof fields?.['service_id'] === 'string' && fieldsOf(fields['properties']) !== undefined;
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.length > 0;
}
