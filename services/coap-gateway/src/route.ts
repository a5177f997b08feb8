import { type ReportKind, readReportPath } from '@latchkey/gateway-kit/upstream';
import type { DeviceId } from '@latchkey/kernel';
import { FORMAT, METHOD } from './coap/codes.ts';
import type { CoapRequest } from './coap/conversation.ts';

/** What a request is about, or why it is about nothing. */
export type Route =
  | { readonly operation: 'REGISTER'; readonly endpoint: string }
  /** `name` is the last part of the location that the registration gave. */
  | { readonly operation: 'UPDATE' | 'DEREGISTER'; readonly name: string }
  | { readonly operation: 'REPORT'; readonly kind: ReportKind; readonly deviceId: DeviceId }
  | { readonly operation: 'DISCOVER' }
  | { readonly operation: 'NONE'; readonly why: 'NO_SUCH_PATH' | 'METHOD' | 'INPUT' | 'FORMAT' | 'VERSION' };

/** Where devices register (OMA LwM2M 1.1 Transport, 6.4.3; IoTDA devg iot_02_0213). */
export const REGISTRATION = 'rd';

/** Versions of LwM2M whose registration reads alike. Another one is told 4.12; a device that names none is not LwM2M. */
const LWM2M_VERSIONS: readonly string[] = ['1.0', '1.1'];

/** Characters of an endpoint name: a device id behind the longest prefix. */
const MAX_ENDPOINT_CHARS = 160;

/** Reads what a request is about. Never throws. */
export function readRoute({ method, path, query, accept }: CoapRequest): Route {
  const [first, second, ...more] = path;
  if (first === REGISTRATION && second === undefined) {
    return method === METHOD.POST ? readRegistration(query) : none('METHOD');
  }
  if (first === REGISTRATION && second !== undefined && more.length === 0) {
    if (method === METHOD.POST) return { operation: 'UPDATE', name: second };
    return method === METHOD.DELETE ? { operation: 'DEREGISTER', name: second } : none('METHOD');
  }
  if (first === '.well-known' && second === 'core' && more.length === 0) {
    if (method !== METHOD.GET) return none('METHOD');
    return accept === undefined || accept === FORMAT.LINKS ? { operation: 'DISCOVER' } : none('FORMAT');
  }
  return readReport(method, path);
}

function readRegistration(query: readonly string[]): Route {
  const given = new Map<string, string>();
  for (const part of query) {
    const [name = '', ...value] = part.split('=');
    if (given.has(name)) return none('INPUT');
    given.set(name, value.join('='));
  }
  const endpoint = given.get('ep') ?? '';
  if (endpoint === '' || endpoint.length > MAX_ENDPOINT_CHARS) return none('INPUT');
  if (!/^[0-9]{1,10}$/.test(given.get('lt') ?? '0')) return none('INPUT');
  const version = given.get('lwm2m');
  if (version !== undefined && !LWM2M_VERSIONS.includes(version)) return none('VERSION');
  return { operation: 'REGISTER', endpoint };
}

function readReport(method: number, path: readonly string[]): Route {
  // A slash within a part is no boundary.
  const report = path.some((part) => part.includes('/')) ? undefined : readReportPath(`/${path.join('/')}`);
  if (report === undefined) return none('NO_SUCH_PATH');
  if (method !== METHOD.POST) return none('METHOD');
  const { kind, deviceId } = report;
  return deviceId === undefined ? none('INPUT') : { operation: 'REPORT', kind, deviceId };
}

function none(why: Extract<Route, { operation: 'NONE' }>['why']): Route {
  return { operation: 'NONE', why };
}
