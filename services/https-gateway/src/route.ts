import { type ReportKind, readReportPath } from '@latchkey/gateway-kit/upstream';
import type { DeviceId } from '@latchkey/kernel';

/** What a request is about, or why it is about nothing. */
export type Route =
  | { readonly operation: 'LOGIN' }
  | { readonly operation: 'REPORT'; readonly kind: ReportKind; readonly deviceId: DeviceId }
  | { readonly operation: 'NONE'; readonly why: 'NO_SUCH_PATH' | 'METHOD' | 'INPUT' };

/** IoTDA API iot_06_v5_7008. */
const LOGIN_PATH = '/v5/device-auth';

/** Reads method and target of a request; a query is not looked at. Never throws. */
export function readRoute(method: string | undefined, target: string | undefined): Route {
  const path = target?.split('?', 1)[0] ?? '';
  const report = readReportPath(path);
  if (path !== LOGIN_PATH && report === undefined) return { operation: 'NONE', why: 'NO_SUCH_PATH' };
  if (method !== 'POST') return { operation: 'NONE', why: 'METHOD' };
  if (report === undefined) return { operation: 'LOGIN' };
  const { kind, deviceId } = report;
  return deviceId === undefined ? { operation: 'NONE', why: 'INPUT' } : { operation: 'REPORT', kind, deviceId };
}
