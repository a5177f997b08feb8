import { coapPost } from './coap-client.ts';
import { curl } from './curl.ts';
import { httpsLogin, login } from './digest.ts';
import { mosquittoOnce } from './mosquitto.ts';
import { caFile, type System } from './system.ts';

/** What becomes of a device that shows its secret. */
export type Outcome = 'IN' | 'IN_BY_SECONDARY' | 'REFUSED' | 'FROZEN' | 'THROTTLED' | 'NO_DECISION';

/** A protocol, as a device of it sees the gateway. */
export type Edge = {
  readonly name: string;
  /** Comes with a secret and tells what it is told. */
  readonly show: (system: System, deviceId: string, secret: string) => Promise<string>;
  /** What it is told for each outcome (docs/reasons.md). */
  readonly told: Readonly<Record<Outcome, string>>;
};

/** Every protocol that devices speak. */
export const EDGES: readonly Edge[] = [
  {
    name: 'MQTT',
    show: async (system, deviceId, secret) => `CONNACK ${await mosquittoOnce(system.mqtt, login(deviceId, secret))}`,
    told: {
      IN: 'CONNACK 0',
      IN_BY_SECONDARY: 'CONNACK 0',
      REFUSED: 'CONNACK 4',
      FROZEN: 'CONNACK 5',
      THROTTLED: 'CONNACK 3',
      NO_DECISION: 'CONNACK 3',
    },
  },
  {
    name: 'HTTPS',
    show: logInAndReport,
    told: {
      IN: '200',
      IN_BY_SECONDARY: '200',
      REFUSED: '401 IOTDA.000002',
      FROZEN: '401 IOTDA.000002',
      THROTTLED: '403 IOTDA.021101',
      NO_DECISION: '503 LATCHKEY.UNAVAILABLE',
    },
  },
  {
    name: 'CoAP',
    show: async ({ coaps: port }, deviceId, secret) => {
      const target = `/v5/devices/${deviceId}/sys/messages/up`;
      const credential = { identity: deviceId, secret };
      return (await coapPost({ port, credential, target, payload: 'hello' })).join(' ');
    },
    told: {
      IN: '2.04',
      IN_BY_SECONDARY: 'decrypt error',
      REFUSED: 'decrypt error',
      FROZEN: 'access denied',
      THROTTLED: 'decrypt error', // as a wrong key: another alert would tell a guess from a hit
      NO_DECISION: 'internal error',
    },
  },
];

/** Logs in, and reports with the token; the first answer that is no success, else 200. */
async function logInAndReport(system: System, deviceId: string, secret: string): Promise<string> {
  const where = { port: system.https, ca: caFile(system) };
  const login = await curl({ ...where, path: '/v5/device-auth', body: JSON.stringify(httpsLogin(deviceId, secret)) });
  if (login.status !== 200) return `${login.status} ${fieldOf(login.body, 'error_code')}`;
  const token = fieldOf(login.body, 'access_token');
  const report = await curl({ ...where, path: `/v5/devices/${deviceId}/sys/messages/up`, body: 'hello', token });
  return report.status === 200 ? '200' : `${report.status} ${fieldOf(report.body, 'error_code')} after a login`;
}

function fieldOf(body: unknown, name: string): string {
  return String((body as Readonly<Record<string, unknown>>)[name]);
}
