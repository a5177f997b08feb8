import { type ReportKind, readReportPath } from '@latchkey/gateway-kit/upstream';
import { type DeviceId, parseDeviceId } from '@latchkey/kernel';
import { FORMAT, METHOD } from './coap/codes.ts';
import type { CoapRequest } from './coap/conversation.ts';

/** What a request is about, or why it is about nothing. */
export type Route =
  | { readonly operation: 'REGISTER'; readonly endpoint: string; readonly lifetimeS: number }
  /** `name` is the last part of the location that the registration gave; without a lifetime it keeps the one it has. */
  | { readonly operation: 'UPDATE'; readonly name: string; readonly lifetimeS: number | undefined }
  | { readonly operation: 'DEREGISTER'; readonly name: string }
  /** Asks for what is sent to the device, as an observer or only for now. */
  | { readonly operation: 'LISTEN'; readonly deviceId: DeviceId }
  | { readonly operation: 'REPORT'; readonly kind: ReportKind; readonly deviceId: DeviceId }
  | { readonly operation: 'DISCOVER' }
  | { readonly operation: 'NONE'; readonly why: 'NO_SUCH_PATH' | 'METHOD' | 'INPUT' | 'FORMAT' | 'VERSION' };

/** Where devices register (OMA LwM2M 1.1 Transport, 6.4.3; IoTDA devg iot_02_0213). */
export const REGISTRATION = 'rd';

/** Versions of LwM2M whose registration reads alike. Another one is told 4.12; a device that names none is not LwM2M. */
const LWM2M_VERSIONS: readonly string[] = ['1.0', '1.1'];

/** Where a device that is no LwM2M client finds what is sent to it: as the topic of MQTT devices is called. */
const LISTENER_PATH = /^\/v5\/devices\/([^/]*)\/sys\/messages\/down$/;

/** Characters of an endpoint name: a device id behind the longest prefix. */
const MAX_ENDPOINT_CHARS = 160;

/** Seconds that a registration lives unless it says otherwise (OMA LwM2M 1.1 Core, 6.2.1). */
const DEFAULT_LIFETIME_S = 86_400;

/** The longest span that a timer takes, 24.8 days; a lifetime beyond it counts as that. A silent session ends long before. */
const MAX_LIFETIME_S = 2_147_483;

/** Reads what a request is about. Never throws. */
export function readRoute({ method, path, query, accept }: CoapRequest): Route {
  const [first, second, ...more] = path;
  if (first === REGISTRATION && second === undefined) {
    return method === METHOD.POST ? readRegistration(query) : none('METHOD');
  }
  if (first === REGISTRATION && second !== undefined && more.length === 0) {
    if (method === METHOD.POST) return readUpdate(second, query);
    return method === METHOD.DELETE ? { operation: 'DEREGISTER', name: second } : none('METHOD');
  }
  if (first === '.well-known' && second === 'core' && more.length === 0) {
    if (method !== METHOD.GET) return none('METHOD');
    return accept === undefined || accept === FORMAT.LINKS ? { operation: 'DISCOVER' } : none('FORMAT');
  }
  return readReport(method, path);
}

function readRegistration(query: readonly string[]): Route {
  const given = readQuery(query);
  const endpoint = given?.get('ep') ?? '';
  if (endpoint === '' || endpoint.length > MAX_ENDPOINT_CHARS) return none('INPUT');
  const lifetimeS = readLifetime(given?.get('lt') ?? String(DEFAULT_LIFETIME_S));
  if (lifetimeS === undefined) return none('INPUT');
  const version = given?.get('lwm2m');
  if (version !== undefined && !LWM2M_VERSIONS.includes(version)) return none('VERSION');
  return { operation: 'REGISTER', endpoint, lifetimeS };
}

function readUpdate(name: string, query: readonly string[]): Route {
  const given = readQuery(query);
  const lifetime = given?.get('lt');
  const lifetimeS = lifetime === undefined ? undefined : readLifetime(lifetime);
  if (given === undefined || (lifetime !== undefined && lifetimeS === undefined)) return none('INPUT');
  return { operation: 'UPDATE', name, lifetimeS };
}

/** Undefined: something is there twice. */
function readQuery(query: readonly string[]): ReadonlyMap<string, string> | undefined {
  const given = new Map<string, string>();
  for (const part of query) {
    const [name = '', ...value] = part.split('=');
    if (given.has(name)) return undefined;
    given.set(name, value.join('='));
  }
  return given;
}

/** A lifetime of 0 would be no registration at all. */
function readLifetime(text: string): number | undefined {
  const seconds = /^[0-9]{1,10}$/.test(text) ? Number(text) : 0;
  return seconds === 0 ? undefined : Math.min(seconds, MAX_LIFETIME_S);
}

function readReport(method: number, path: readonly string[]): Route {
  // A slash within a part is no boundary.
  const whole = path.some((part) => part.includes('/')) ? '' : `/${path.join('/')}`;
  const listener = LISTENER_PATH.exec(whole)?.[1];
  if (listener !== undefined) return readListener(method, listener);
  const report = readReportPath(whole);
  if (report === undefined) return none('NO_SUCH_PATH');
  if (method !== METHOD.POST) return none('METHOD');
  const { kind, deviceId } = report;
  return deviceId === undefined ? none('INPUT') : { operation: 'REPORT', kind, deviceId };
}

function readListener(method: number, name: string): Route {
  if (method !== METHOD.GET) return none('METHOD');
  const deviceId = parseDeviceId(name);
  return deviceId === undefined ? none('INPUT') : { operation: 'LISTEN', deviceId };
}

function none(why: Extract<Route, { operation: 'NONE' }>['why']): Route {
  return { operation: 'NONE', why };
}
