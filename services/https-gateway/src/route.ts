import { type DeviceId, parseDeviceId } from '@latchkey/kernel';

/** What a device reports: properties, a message, or properties of the devices behind it. */
export type ReportKind = 'PROPERTIES' | 'MESSAGE' | 'SUB_DEVICES';

/** What a request is about, or why it is about nothing. */
export type Route =
  | { readonly operation: 'LOGIN' }
  | { readonly operation: 'REPORT'; readonly kind: ReportKind; readonly deviceId: DeviceId }
  | { readonly operation: 'NONE'; readonly why: 'NO_SUCH_PATH' | 'METHOD' | 'INPUT' };

/** IoTDA API iot_06_v5_7008. */
const LOGIN_PATH = '/v5/device-auth';

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

/** Reads method and target of a request; a query is not looked at. Never throws. */
export function readRoute(method: string | undefined, target: string | undefined): Route {
  const path = target?.split('?', 1)[0] ?? '';
  const [, deviceText = '', rest = ''] = REPORT_PATH.exec(path) ?? [];
  const kind = KINDS.get(rest);
  if (path !== LOGIN_PATH && kind === undefined) return { operation: 'NONE', why: 'NO_SUCH_PATH' };
  if (method !== 'POST') return { operation: 'NONE', why: 'METHOD' };
  if (kind === undefined) return { operation: 'LOGIN' };
  const deviceId = parseDeviceId(deviceText);
  return deviceId === undefined ? { operation: 'NONE', why: 'INPUT' } : { operation: 'REPORT', kind, deviceId };
}

/** The topic that a report goes to. */
export function topicOf(deviceId: DeviceId, kind: ReportKind): string {
  return `$oc/devices/${deviceId}/sys/${TOPICS[kind]}`;
}
