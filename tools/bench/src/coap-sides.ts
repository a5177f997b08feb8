import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePort } from '@latchkey/kernel/testing';
import { startAuthServer } from './auth-server.ts';
import { endWith, launch, newPair, startMosquitto, untilListening } from './brokers.ts';
import type { Counted, Workers } from './by-process.ts';
import { CoapDevice, type CoapLogin } from './coap-device.ts';
import { deviceIdOf, secretOf } from './devices.ts';
import { ONE_SOURCE, untilReady } from './mqtt-sides.ts';
import type { Plan } from './plan.ts';
import { cpuUsOf } from './processes.ts';
import { isInstalled } from './programs.ts';

const GATEWAY = resolve(import.meta.dirname, '../../../services/coap-gateway/src/main.ts');
const LIBCOAP = 'coap-server-openssl';

/** The gateway's login at the broker that takes its reports. */
const REPORTER = { name: 'coap-gateway', password: secretOf(-1) };

/** The suite that LwM2M devices must have (OMA LwM2M 1.1 Transport, 5.2.8). */
export const CCM_8 = 'TLS_PSK_WITH_AES_128_CCM_8';

/** A server of devices that speak CoAP over DTLS. */
export type CoapSide = Pick<Workers, 'own'> & {
  readonly name: string;
  readonly port: number;
  /** Where reports go to; undefined: it takes none. */
  readonly broker: Counted | undefined;
};

/** Whom the servers know, by index. */
export function loginOf(index: number): CoapLogin {
  return { identity: deviceIdOf(index), secret: secretOf(index) };
}

/** Our gateway with the auth service behind it, and the broker that its reports go to; undefined where no broker is installed. */
export async function startOurs({ processes }: Plan, devices: number): Promise<CoapSide | undefined> {
  const pair = await newPair(processes);
  const mosquitto = await startMosquitto({ processes, users: [REPORTER], pair });
  if (mosquitto === undefined) return undefined;
  const auth = await startAuthServer(processes, devices);
  const credential = join(processes.directory(), 'credential');
  writeFileSync(credential, `${REPORTER.name}:${REPORTER.password}\n`, { mode: 0o600 });
  const listeners = ['--coaps', '127.0.0.1:0', '--metrics', '127.0.0.1:0'];
  const upstream = ['--upstream', `mqtt://127.0.0.1:${mosquitto.port}`, '--upstream-credential', credential];
  const rest = [...ONE_SOURCE, '--auth', auth.field('grpc'), '--log-level', 'error'];
  const gateway = await processes.start(GATEWAY, [...listeners, ...upstream, ...rest]);
  await untilReady(gateway);
  const port = Number(gateway.field('coaps').split(':').at(-1));
  return { name: 'latchkey', port, broker: mosquitto, own: { gateway, auth } };
}

/** The example server of libcoap, over OpenSSL, with the same devices in a file; undefined where it is not installed. */
export async function startLibcoap({ processes }: Plan, devices: number): Promise<CoapSide | undefined> {
  if (!isInstalled(LIBCOAP)) return undefined;
  const file = join(processes.directory(), 'identities');
  const lines = Array.from({ length: devices }, (_, index) => loginOf(index));
  // The hint that they answer to is none; each identity has its key.
  writeFileSync(file, lines.map(({ identity, secret }) => `,${identity},${secret}\n`).join(''), { mode: 0o600 });
  const port = await freePort();
  // DTLS listens on the next port. Whoever does not stand in the file has the key of nobody.
  const args = ['-A', '127.0.0.1', '-p', String(port), '-h', '', '-k', secretOf(-2), '-i', file, '-v', '0'];
  const launched = await launch(LIBCOAP, args, process.env);
  const { child } = launched;
  endWith(processes, child, () => child.pid);
  await untilListening(launched, [port]);
  const own = { libcoap: { cpuUs: () => cpuUsOf(child.pid) } };
  const side = { name: 'libcoap', port: port + 1, broker: undefined, own };
  const probe = await CoapDevice.connect(side.port, CCM_8, loginOf(0));
  await probe.leave();
  return side;
}
