import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { type Address, formatAddress, parseAddress } from '@latchkey/runtime';
import type { Endpoints } from './endpoints.ts';

const DEMO_DEVICE = 'demo';
const DEMO_SECRET = '12345678';
/** Sign type 0 does not check the time, so this one stays right for ever. */
const DEMO_TIMESTAMP = '2026010100';

/** A listener on every address is reached on this machine by its loopback address. */
const WILDCARDS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** An address of a listener, `host:port`, as it is reached on this machine. */
export function reachable(listener: string): string {
  const { host, port } = parseAddress(listener);
  return formatAddress({ host: WILDCARDS[host] ?? host, port });
}

/** What an operator reads when everything listens: the addresses, and two lines to copy into a shell. */
export function welcome(endpoints: Endpoints, isDefaultDir: boolean): string {
  const { grpc, admin, mqtt, mqtts, token, dataDir } = endpoints;
  return `
Latchkey runs.

  MQTT      ${mqtt}
  MQTTS     ${mqtts}, for clients that trust ${join(dataDir, 'tls/ca.pem')}
${elsewhere(endpoints)}  gRPC      ${grpc}, for gateways
  admin     ${admin}, for operators
  token     ${token}
  data      ${dataDir}

Register a device, then connect it:

  ${createLine(dataDir, isDefaultDir)}
  ${connectLine(parseAddress(mqtt))}

Ctrl-C stops it.

`;
}

/** What is there with one kind of broker, or not with the other. */
function elsewhere({ https, coaps, ingress, ingressCredential, upstream }: Endpoints): string {
  const lines = [
    https && `HTTPS     ${https}, the same`,
    coaps && `CoAPS     ${coaps}, the same; or with the device's primary secret alone`,
    ingress && `ingress   ${ingress}, MQTT for applications, which log in with ${ingressCredential}`,
    upstream && `broker    ${upstream}, which takes the links of devices`,
    https === undefined && 'not served: HTTPS and CoAP, for want of --upstream-credential',
  ];
  return lines.map((line) => (line ? `  ${line}\n` : '')).join('');
}

/** Registers the demonstration device: one line for sh. The tool finds server and token in the data directory. */
export function createLine(dataDir: string, isDefaultDir: boolean): string {
  const where = isDefaultDir ? '' : `LATCHKEY_DATA_DIR=${shellQuote(dataDir)} `;
  return `${where}npx latchkey device create ${DEMO_DEVICE} --secret ${DEMO_SECRET}`;
}

/** Connects the demonstration device and publishes a message: one line for sh. */
export function connectLine(mqtt: Address): string {
  // The timestamp is the key and the secret the message (IoTDA, "Device Connection Authentication").
  const password = createHmac('sha256', DEMO_TIMESTAMP).update(DEMO_SECRET).digest('hex');
  const host = WILDCARDS[mqtt.host] ?? mqtt.host;
  return [
    `mosquitto_pub -h ${host} -p ${mqtt.port} -i ${DEMO_DEVICE}_0_0_${DEMO_TIMESTAMP} -u ${DEMO_DEVICE}`,
    `-P ${password} -t '$oc/devices/${DEMO_DEVICE}/sys/messages/up' -m hello`,
  ].join(' ');
}

/** Text as one word of sh. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_/.:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
